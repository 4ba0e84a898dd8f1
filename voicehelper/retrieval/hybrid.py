"""Dense and keyword search at the same time, fused: the retriever of the product."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from voicehelper.config import RetrievalSettings
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, RateLimited, Unavailable
from voicehelper.ports.embedder import Embedder, EmbedderInfo, Vectors
from voicehelper.ports.search import Hit, KeywordIndex, Passage, PassageStore, Scope, VectorIndex
from voicehelper.retrieval.analysis import without_function_words
from voicehelper.retrieval.fusion import FusionPolicy, weighted
from voicehelper.retrieval.model import Retrieved, ScoredPassage
from voicehelper.retrieval.neighbours import merge
from voicehelper.telemetry import get_logger, stage

log = get_logger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class _Search:
    """What is known while one query is being answered; `words` is what of it the keyword engine gets.

    An engine's scores are None once it failed.
    """

    scope: Scope
    query: str
    words: str
    dense: dict[UUID, float] | None = None
    keyword: dict[UUID, float] | None = None
    degraded: list[str] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)


class HybridRetriever:
    """`Retriever` over an embedder, a vector index, a keyword index and the store of passages.

    The query is embedded while the keyword engine searches; each engine then also scores what only the other found, so
    that fusion compares complete scores. An engine that fails, or takes longer than `engine_timeout_s`, is left out and
    named in `degraded`: `dense` or `keyword`.
    """

    def __init__(
        self,
        embedder: Embedder,
        vectors: VectorIndex,
        keywords: KeywordIndex,
        passages: PassageStore,
        *,
        settings: RetrievalSettings | None = None,
        fusion: FusionPolicy | None = None,
    ) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._keywords = keywords
        self._passages = passages
        self._settings = settings or RetrievalSettings()
        self._fusion = fusion or weighted(self._settings.dense_weight, self._settings.dense_temperature)
        self._space: EmbedderInfo | None = None

    async def retrieve(self, scope: Scope, query: str, top_k: int | None = None) -> Retrieved:
        """See `Retriever`. Raises `Unavailable`, and `DeadlineExceeded` when the request's time is over."""
        search = _Search(scope, query.strip(), without_function_words(query.strip()))
        if not search.query or not scope.kb_ids:
            return Retrieved(())
        vector, _ = await asyncio.gather(self._embed(search), self._search_keywords(search))
        if vector is not None:
            await self._search_vectors(search, vector)
        await self._complete_keywords(search)
        with stage("retrieval.fuse") as timed:
            fused = self._fuse(search)
        search.timings_ms["fuse"] = timed.ms
        found = await self._fetch(search, fused, top_k or self._settings.top_k)
        return Retrieved(tuple(found), tuple(search.degraded), search.timings_ms)

    async def _embed(self, search: _Search) -> Vectors | None:
        with stage("retrieval.embed") as timed:
            vectors = await self._guard(search, "dense", self._embedder.embed([search.query], "query"))
        search.timings_ms["embed"] = timed.ms
        return None if vectors is None else vectors[0]

    async def _search_keywords(self, search: _Search) -> None:
        with stage("retrieval.keyword") as timed:
            found = self._keywords.search(search.scope, search.words, self._settings.candidates)
            search.keyword = _by_chunk(await self._guard(search, "keyword", found))
        search.timings_ms["keyword"] = timed.ms

    async def _search_vectors(self, search: _Search, vector: Vectors) -> None:
        with stage("retrieval.dense") as timed:
            hits = await self._guard(search, "dense", self._nearest(search, vector))
        search.dense = _by_chunk(hits)
        search.timings_ms["dense"] = timed.ms

    async def _nearest(self, search: _Search, vector: Vectors) -> list[Hit]:
        if self._space is None:
            self._space = await self._embedder.describe()
        also = tuple(search.keyword or ())
        return await self._vectors.search(search.scope, vector, self._settings.candidates, self._space.model, also)

    async def _complete_keywords(self, search: _Search) -> None:
        """Keyword scores of what only the dense engine found."""
        missing = [chunk for chunk in search.dense or () if chunk not in (search.keyword or ())]
        if search.keyword is None or not missing:
            return
        with stage("retrieval.keyword_complete") as timed:
            scored = self._keywords.search(search.scope, search.words, 0, missing)
            found = _by_chunk(await self._guard(search, "keyword", scored))
        search.keyword = None if found is None else {**search.keyword, **found}
        search.timings_ms["keyword_complete"] = timed.ms

    def _fuse(self, search: _Search) -> dict[UUID, float]:
        if search.dense is None and search.keyword is None:
            raise Unavailable("Search is temporarily unavailable", retry_after=2.0)
        return self._fusion(search.dense, search.keyword)

    async def _fetch(self, search: _Search, fused: Mapping[UUID, float], top_k: int) -> list[ScoredPassage]:
        """The best passages that are still live. One query, unless many hits were stale or joined."""
        with stage("retrieval.fetch") as timed:
            waiting = list(fused)
            found: list[ScoredPassage] = []
            merged: list[ScoredPassage] = []
            while waiting and len(merged) < top_k:
                batch, waiting = waiting[: 3 * top_k], waiting[3 * top_k :]
                live = await self._passages.fetch(search.scope, batch)
                found += [_scored(passage, search, fused) for passage in live]
                merged = merge(found, top_k)
        search.timings_ms["fetch"] = timed.ms
        return merged

    async def _guard(self, search: _Search, engine: str, work: Awaitable[T]) -> T | None:
        """The engine's result; None, with its name in `degraded`, when it is down, full or too slow."""
        remaining = current_context().remaining()
        timeout = self._settings.engine_timeout_s
        try:
            async with asyncio.timeout(timeout if remaining is None else min(timeout, remaining)):
                return await work
        except (Unavailable, RateLimited, DeadlineExceeded, TimeoutError) as error:
            if current_context().remaining() == 0:
                raise DeadlineExceeded from error
            log.warning("retrieval.degraded", engine=engine, error=type(error).__name__)
            if engine not in search.degraded:
                search.degraded.append(engine)
            return None


def _by_chunk(hits: Sequence[Hit] | None) -> dict[UUID, float] | None:
    return None if hits is None else {hit.chunk_id: hit.score for hit in hits}


def _scored(passage: Passage, search: _Search, fused: Mapping[UUID, float]) -> ScoredPassage:
    stages = {"dense": search.dense, "keyword": search.keyword, "fused": fused}
    scores = {name: found[passage.chunk_id] for name, found in stages.items() if found and passage.chunk_id in found}
    return ScoredPassage(passage, fused[passage.chunk_id], scores)
