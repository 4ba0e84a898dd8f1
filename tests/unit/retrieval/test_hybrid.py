import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import pytest

from voicehelper.config import RetrievalSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import DeadlineExceeded, ModelUnavailable, Overloaded, Unavailable, VoiceHelperError
from voicehelper.ports.embedder import FakeEmbedder, Vectors
from voicehelper.ports.search import Hit, Passage, Scope
from voicehelper.retrieval.hybrid import HybridRetriever

TENANT, KB, DOCUMENT = UUID(int=1), UUID(int=2), UUID(int=3)
SCOPE = Scope(TENANT, (KB,))
SETTINGS = RetrievalSettings(candidates=2, top_k=3, engine_timeout_s=0.05)


def chunk_id(number: int) -> UUID:
    return UUID(int=1000 + number)


class FakeEngine:
    """Both indexes: scores by chunk number; may fail or be slow. Remembers the chunks it was asked to score besides."""

    def __init__(self, scores: dict[int, float], error: VoiceHelperError | None = None, delay: float = 0.0) -> None:
        self.scores = {chunk_id(number): score for number, score in scores.items()}
        self.error, self.delay = error, delay
        self.asked: list[tuple[int, tuple[UUID, ...]]] = []
        self.started = asyncio.Event()
        self.cancelled = False

    async def answer(self, k: int, also: Sequence[UUID]) -> list[Hit]:
        self.asked.append((k, tuple(also)))
        self.started.set()
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error:
            raise self.error
        ranked = sorted(self.scores, key=lambda chunk: -self.scores[chunk])
        chosen = dict.fromkeys([*ranked[:k], *(chunk for chunk in also if chunk in self.scores)])
        return [Hit(chunk, self.scores[chunk]) for chunk in chosen]


class FakeVectorIndex(FakeEngine):
    async def search(self, scope: Scope, vector: Vectors, k: int, model: str, also: Sequence[UUID] = ()) -> list[Hit]:
        assert (vector.shape, model) == ((8,), "fake-bigram-8")
        return await self.answer(k, also)


class FakeKeywordIndex(FakeEngine):
    async def search(self, scope: Scope, query: str, k: int, also: Sequence[UUID] = ()) -> list[Hit]:
        return await self.answer(k, also)


class FakePassages:
    """Every third position of one document, without the ids in `gone`."""

    def __init__(self, gone: Sequence[int] = ()) -> None:
        self.gone = {chunk_id(number) for number in gone}
        self.calls: list[int] = []

    async def fetch(self, scope: Scope, chunk_ids: Sequence[UUID]) -> list[Passage]:
        self.calls.append(len(chunk_ids))
        return [self.passage(chunk) for chunk in chunk_ids if chunk not in self.gone]

    async def neighbours(self, scope: Scope, passage: Passage, before: int, after: int) -> list[Passage]:
        return []

    @staticmethod
    def passage(chunk: UUID) -> Passage:
        position = 3 * (chunk.int - 1000)
        return Passage(chunk, DOCUMENT, KB, "a.md", position, None, (), position * 10, position * 10 + 5, str(chunk))


def retriever(dense: FakeVectorIndex, keyword: FakeKeywordIndex, passages=None, embedder=None) -> HybridRetriever:
    return HybridRetriever(embedder or FakeEmbedder(8), dense, keyword, passages or FakePassages(), settings=SETTINGS)


class BrokenEmbedder(FakeEmbedder):
    def __init__(self, error: Exception) -> None:
        super().__init__(8)
        self.error = error

    async def embed(self, texts, kind):
        raise self.error


def numbers(found) -> list[int]:
    return [scored.passage.chunk_id.int - 1000 for scored in found.passages]


async def test_each_engine_scores_what_only_the_other_found() -> None:
    dense = FakeVectorIndex({1: 0.99, 2: 0.95, 3: 0.9})
    keyword = FakeKeywordIndex({3: 0.9, 4: 0.8, 1: 0.7})
    found = await retriever(dense, keyword).retrieve(SCOPE, "退款多久到账")
    assert dense.asked == [(2, (chunk_id(3), chunk_id(4)))]
    assert keyword.asked == [(2, ()), (0, (chunk_id(1), chunk_id(2)))]
    assert numbers(found) == [1, 3, 4]
    assert found.passages[1].scores == {
        "dense": 0.9,
        "keyword": 0.9,
        "fused": pytest.approx(0.55 * 0.1353 + 0.45 * 0.9, abs=1e-3),
    }
    assert found.degraded == ()
    assert {"embed", "keyword", "dense", "fuse", "fetch"} <= found.timings_ms.keys()


@pytest.mark.parametrize("error", [Unavailable(), Overloaded(), DeadlineExceeded()])
async def test_without_the_vector_index_keywords_answer(error: VoiceHelperError) -> None:
    found = await retriever(FakeVectorIndex({}, error), FakeKeywordIndex({3: 0.9, 4: 0.8})).retrieve(SCOPE, "退款")
    assert (numbers(found), found.degraded) == ([3, 4], ("dense",))


@pytest.mark.parametrize("error", [ModelUnavailable(), Overloaded()])
async def test_without_the_embedder_keywords_answer(error: VoiceHelperError) -> None:
    dense = FakeVectorIndex({1: 0.9})
    found = await retriever(dense, FakeKeywordIndex({3: 0.9}), embedder=BrokenEmbedder(error)).retrieve(SCOPE, "退款")
    assert (numbers(found), found.degraded, dense.asked) == ([3], ("dense",), [])


async def test_without_the_keyword_index_vectors_answer() -> None:
    found = await retriever(FakeVectorIndex({1: 0.9, 2: 0.8}), FakeKeywordIndex({}, Unavailable())).retrieve(
        SCOPE, "退款"
    )
    assert (numbers(found), found.degraded) == ([1, 2], ("keyword",))
    assert "keyword" not in found.passages[0].scores


async def test_an_engine_that_is_too_slow_is_left_out_and_cancelled() -> None:
    keyword = FakeKeywordIndex({3: 0.9}, delay=5)
    found = await retriever(FakeVectorIndex({1: 0.9}), keyword).retrieve(SCOPE, "退款")
    assert (numbers(found), found.degraded, keyword.cancelled) == ([1], ("keyword",), True)


async def test_with_both_down_search_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await retriever(FakeVectorIndex({}, Unavailable()), FakeKeywordIndex({}, Unavailable())).retrieve(SCOPE, "退款")


async def test_a_mistake_of_ours_is_not_called_an_outage() -> None:
    with pytest.raises(ZeroDivisionError):
        await retriever(
            FakeVectorIndex({}), FakeKeywordIndex({}), embedder=BrokenEmbedder(ZeroDivisionError())
        ).retrieve(SCOPE, "退款")


async def test_stale_hits_vanish_and_are_replaced() -> None:
    passages = FakePassages(gone=[1, 3])
    found = await retriever(FakeVectorIndex({1: 0.9, 2: 0.8}), FakeKeywordIndex({3: 0.9}), passages).retrieve(
        SCOPE, "x"
    )
    assert numbers(found) == [2]
    assert passages.calls == [3]


async def test_one_fetch_when_nothing_is_stale() -> None:
    passages = FakePassages()
    await retriever(FakeVectorIndex({1: 0.9, 2: 0.8}), FakeKeywordIndex({3: 0.9, 4: 0.8}), passages).retrieve(
        SCOPE, "x", 1
    )
    assert passages.calls == [3]


@pytest.mark.parametrize(("scope", "query"), [(SCOPE, " \n"), (SCOPE, ""), (Scope(TENANT, ()), "退款")])
async def test_nothing_to_search_asks_no_engine(scope: Scope, query: str) -> None:
    dense, keyword = FakeVectorIndex({1: 1.0}), FakeKeywordIndex({1: 1.0})
    assert (await retriever(dense, keyword).retrieve(scope, query)).passages == ()
    assert (dense.asked, keyword.asked) == ([], [])


async def test_embedding_and_keywords_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    class Embedder(FakeEmbedder):
        async def embed(self, texts, kind):
            await both.wait()
            return await super().embed(texts, kind)

    class Keywords(FakeKeywordIndex):
        async def search(self, scope, query, k, also=()):
            if not also:
                await both.wait()
            return await super().search(scope, query, k, also)

    found = await retriever(FakeVectorIndex({1: 0.9}), Keywords({1: 0.9}), embedder=Embedder(8)).retrieve(SCOPE, "退款")
    assert found.degraded == ()


async def test_the_requests_deadline_ends_the_search() -> None:
    dense, keyword = FakeVectorIndex({1: 0.9}, delay=5), FakeKeywordIndex({1: 0.9}, delay=5)
    with use_context(RequestContext(deadline=time.time() + 0.01)), pytest.raises(DeadlineExceeded):
        await retriever(dense, keyword).retrieve(SCOPE, "退款")


async def test_cancelling_the_search_cancels_the_engines() -> None:
    dense, keyword = FakeVectorIndex({1: 0.9}, delay=5), FakeKeywordIndex({1: 0.9})
    task = asyncio.create_task(retriever(dense, keyword).retrieve(SCOPE, "退款"))
    await dense.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dense.cancelled
