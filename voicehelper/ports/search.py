"""Searching passages: one port per kind of index. Both filter by tenant and knowledge base inside the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.ports.embedder import Vectors


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see. An empty `kb_ids` sees nothing."""

    tenant_id: UUID
    kb_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found; higher `score` is better, comparable only within one engine and query."""

    chunk_id: UUID
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A live chunk as it stands in the store.

    Attributes:
        position: place in the document, counted from 0.
        page: page the chunk starts on, counted from 1; None where the format has no pages.
        heading: path of headings, outermost first.
        start, end: character offsets in the document's cleaned text.
    """

    chunk_id: UUID
    document_id: UUID
    kb_id: UUID
    document_name: str
    position: int
    page: int | None
    heading: tuple[str, ...]
    start: int
    end: int
    text: str


class VectorIndex(Protocol):
    """Nearest passages by cosine similarity."""

    async def search(self, scope: Scope, vector: Vectors, k: int, model: str, also: Sequence[UUID] = ()) -> list[Hit]:
        """The `k` chunks of vector space `model` nearest to `vector` (shape (dimensions,)), scored by cosine.

        The chunks `also` (another engine's finds) are scored too, wherever they rank, if they are in scope. Best
        first, each chunk once. Raises `Unavailable`.
        """
        ...


class KeywordIndex(Protocol):
    """Passages by BM25."""

    async def search(self, scope: Scope, query: str, k: int, also: Sequence[UUID] = ()) -> list[Hit]:
        """The `k` best chunks for the raw user query, scored from 0 to 1: the share of the query they cover.

        The chunks `also` are scored too if they share a term with the query and are in scope; `k` may then be 0. Best
        first, each chunk once. Never raises on odd query text; raises `Unavailable` when there is no index to read.
        """
        ...


class PassageStore(Protocol):
    """The chunks themselves (PostgreSQL: the truth behind every index)."""

    async def fetch(self, scope: Scope, chunk_ids: Sequence[UUID]) -> list[Passage]:
        """Live passages with these ids, in the order asked, without those that are gone or out of scope."""
        ...

    async def neighbours(self, scope: Scope, passage: Passage, before: int, after: int) -> list[Passage]:
        """The passages around `passage` in the same document version, in document order, without itself."""
        ...
