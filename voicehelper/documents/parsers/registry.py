"""Parsers by format."""

from collections.abc import Callable
from importlib import import_module

from voicehelper.documents.failures import failure
from voicehelper.documents.formats import Format, detect_format
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits

Parser = Callable[[bytes, ParseLimits], ParsedDocument]

_MODULES = {
    Format.MARKDOWN: "markdown",
    Format.TEXT: "plain",
    Format.HTML: "html",
    Format.PDF: "pdf",
    Format.DOCX: "docx",
}


def parser_for(kind: Format) -> Parser:
    """The parser of a format; its library is loaded on first use."""
    parser: Parser = import_module(f"{__package__}.{_MODULES[kind]}").parse
    return parser


def parse_document(data: bytes, name: str, content_type: str = "", limits: ParseLimits | None = None) -> ParsedDocument:
    """Parse and clean `data` in this process. For files of strangers use `isolation`.

    Raises `UnprocessableDocument`; `details["reason"]` is a `FailureReason`.
    """
    parsed = parser_for(detect_format(data, name, content_type))(data, limits or ParseLimits())
    if not any(char.isalnum() for block in parsed.blocks for char in block.text):
        raise failure(FailureReason.EMPTY)
    return parsed
