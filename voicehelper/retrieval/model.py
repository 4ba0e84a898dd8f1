"""The retriever's port: what it takes and gives."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from voicehelper.ports.search import Passage, Scope


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage with the score of each stage that saw it (`dense`, `keyword`, `fused`; absent where not found).

    Attributes:
        passage: a chunk, or neighbouring chunks joined; then it has the id and page of the best of them.
        score: the fused score, 0 to 1.
        scores: `dense` is the cosine, `keyword` the share of the query's terms covered (by weight), 0 to 1.
        chunk_ids: the chunks in `passage`, in document order.
    """

    passage: Passage
    score: float
    scores: dict[str, float] = field(default_factory=dict)
    chunk_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Passages, best first; `degraded` names engines that failed or were too slow; `timings_ms` by stage."""

    passages: tuple[ScoredPassage, ...]
    degraded: tuple[str, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)


class Retriever(Protocol):
    """Search as RAG and the search endpoint see it."""

    async def retrieve(self, scope: Scope, query: str, top_k: int | None = None) -> Retrieved:
        """The best passages for `query`. Raises `Unavailable` only when every engine failed."""
        ...
