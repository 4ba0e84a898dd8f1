"""From a file to chunks: the one road that the index worker and the bulk job share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voicehelper.config import IndexingSettings
from voicehelper.documents.chunking import TokenCounter, chunk_document
from voicehelper.documents.failures import failure
from voicehelper.documents.model import Chunk, ChunkLimits, FailureReason, ParsedDocument, ParseLimits
from voicehelper.documents.parsers import parse_document

Parse = Callable[[bytes | Path, str, str], ParsedDocument]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document ready to be embedded. `characters` of cleaned text."""

    title: str
    page_count: int | None
    characters: int
    chunks: tuple[Chunk, ...]


def parse_limits(settings: IndexingSettings) -> ParseLimits:
    """The parser's share of the settings."""
    return ParseLimits(settings.parse_timeout_s, settings.parse_memory_bytes, settings.max_text_chars)


def chunk_limits(settings: IndexingSettings) -> ChunkLimits:
    """The chunker's share of the settings."""
    return ChunkLimits(settings.chunk_min_tokens, settings.chunk_max_tokens)


def prepared(parsed: ParsedDocument, chunks: list[Chunk]) -> PreparedDocument:
    """Put the two together. Raises `UnprocessableDocument` (EMPTY) when there is nothing to index."""
    if not chunks:
        raise failure(FailureReason.EMPTY)
    return PreparedDocument(parsed.title, parsed.page_count, len(parsed.text), tuple(chunks))


def prepare_document(
    data: bytes,
    name: str,
    content_type: str,
    *,
    count_tokens: TokenCounter,
    limits: ChunkLimits,
    parse: Parse | None = None,
) -> PreparedDocument:
    """Parse and chunk one file: a pure function of its arguments.

    `parse` is `ParserProcess(...).parse` for files of strangers; without it the file is parsed in this process.
    Raises `UnprocessableDocument`.
    """
    parsed = parse(data, name, content_type) if parse else parse_document(data, name, content_type)
    return prepared(parsed, chunk_document(parsed, count_tokens, limits))
