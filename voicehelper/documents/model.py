"""What flows between the stages of indexing: parsed blocks, chunks, failures."""

from dataclasses import dataclass
from enum import StrEnum


class FailureReason(StrEnum):
    """Why a document cannot be indexed: stable words, shown to users and used in reports."""

    EMPTY = "empty"
    NO_TEXT = "no_text"
    UNSUPPORTED = "unsupported_type"
    MISMATCH = "content_does_not_match_type"
    CORRUPT = "corrupt"
    ENCRYPTED = "encrypted"
    TOO_LARGE = "too_large"
    BOMB = "decompression_bomb"
    ENCODING = "unknown_encoding"
    TIMEOUT = "timeout"
    MEMORY = "out_of_memory"
    CRASH = "parser_crashed"
    WORKER = "worker_lost"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, paragraph, list item, table row group or code block of the source.

    Attributes:
        level: 1-6 for a heading, 0 for body text.
        page: page the block starts on, from 1; None where the format has no pages.
    """

    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """Cleaned text in reading order. `title` is the document's own title, if it has one."""

    blocks: tuple[Block, ...]
    title: str = ""
    page_count: int | None = None

    @property
    def text(self) -> str:
        """The cleaned text that chunk offsets count in: the blocks joined by one newline."""
        return "\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one document may cost.

    Attributes:
        timeout_s: wall and CPU seconds for one file.
        memory_bytes: address space of the parser process.
        max_text_chars: more cleaned text than this is refused.
        max_unpacked_bytes: more than this inside a zip container is refused before unpacking.
    """

    timeout_s: float = 60.0
    memory_bytes: int = 2**30
    max_text_chars: int = 5_000_000
    max_unpacked_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Tokens of one chunk. Sections shorter than `min_tokens` are merged with their siblings; 0 keeps them apart."""

    min_tokens: int = 300
    max_tokens: int = 500


@dataclass(frozen=True, slots=True)
class Chunk:
    """A searchable passage: whole sentences under one heading path. `start`/`end` count characters in the document's
    cleaned text (blocks joined by one newline)."""

    position: int
    text: str
    tokens: int
    heading: tuple[str, ...]
    page: int | None
    start: int
    end: int

    @property
    def embedding_text(self) -> str:
        """What is embedded: the heading path gives a passage the context its sentences lack."""
        return "\n".join([" > ".join(self.heading), self.text]) if self.heading else self.text
