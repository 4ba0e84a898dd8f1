"""Parsers by format."""

from collections.abc import Callable
from importlib import import_module

from voicehelper.documents.failures import failure
from voicehelper.documents.formats import Format, detect_format
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits

Parser = Callable[[bytes, ParseLimits], ParsedDocument]
Inspector = Callable[[bytes, ParseLimits], None]

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


def inspector_for(kind: Format) -> Inspector:
    """The quick checks of a format; its library is loaded on first use."""
    inspector: Inspector = import_module(f"{__package__}.{_MODULES[kind]}").inspect
    return inspector


def inspect_document(data: bytes, name: str, content_type: str = "", limits: ParseLimits | None = None) -> None:
    """Do those checks of `parse_document` that take milliseconds; what they let through may still not parse.

    Raises `UnprocessableDocument` only where `parse_document` would, with the same reason.
    """
    inspector_for(detect_format(data, name, content_type))(data, limits or ParseLimits())


def parse_document(data: bytes, name: str, content_type: str = "", limits: ParseLimits | None = None) -> ParsedDocument:
    """Parse and clean `data` in this process. For files of strangers use `isolation`.

    Raises `UnprocessableDocument`; `details["reason"]` is a `FailureReason`.
    """
    parsed = parser_for(detect_format(data, name, content_type))(data, limits or ParseLimits())
    if not any(char.isalnum() for block in parsed.blocks for char in block.text):
        raise failure(FailureReason.EMPTY)
    return parsed
