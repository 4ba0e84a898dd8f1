"""The embedder over an encoder that only pretends: lanes, cache, batching, cancellation, errors."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.embedder import BACKENDS, ThreadedEmbedder, build_embedder
from actors.embedding.encoder import encodable, group_by_tokens, normalise
from voicehelper.config import EmbedderSettings, Settings
from voicehelper.errors import ModelUnavailable, Overloaded
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, FakeEmbedder, Vectors


class FakeEncoder:
    """The vector of a text is its length. Calls of a kind can be held back with `gates`."""

    def __init__(self, parallel: int = 2, batch_tokens: int = 100) -> None:
        self.info = EmbedderInfo("fake", 2, 512)
        self.parallel = parallel
        self.batch_tokens = batch_tokens
        self.calls: list[tuple[str, list[str]]] = []
        self.gates: dict[str, threading.Event] = {"query": threading.Event(), "passage": threading.Event()}
        self.error: Exception | None = None
        self.open()

    def open(self) -> None:
        for gate in self.gates.values():
            gate.set()

    def encode(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        self.calls.append((kind, list(texts)))
        assert self.gates[kind].wait(10)
        if self.error:
            raise self.error
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def texts(self, kind: str) -> list[list[str]]:
        return [texts for called, texts in self.calls if called == kind]


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
async def embedder(encoder) -> AsyncIterator[ThreadedEmbedder]:
    made = ThreadedEmbedder(encoder, max_batch=4, query_cache_size=3, max_waiting=10)
    yield made
    encoder.open()
    made.close()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.001)


async def test_order_survives_sorting(embedder, encoder):
    texts = ["a" * size for size in (5, 60, 1, 30, 45, 2, 120)]
    vectors = await embedder.embed(texts, "passage")
    assert vectors[:, 0].tolist() == [5, 60, 1, 30, 45, 2, 120]
    for group in encoder.texts("passage"):
        assert len(group) == 1 or len(group) * max(map(len, group)) <= 100


async def test_nothing_gives_no_rows(embedder):
    assert (await embedder.embed([], "query")).shape == (0, 2)


async def test_a_query_does_not_wait_behind_passages(embedder, encoder):
    encoder.gates["passage"].clear()
    bulk = asyncio.create_task(embedder.embed(["a" * 90] * 6, "passage"))
    await until(lambda: len(encoder.texts("passage")) == 2)
    assert (await embedder.embed(["hi"], "query"))[0, 0] == 2
    assert not bulk.done()
    encoder.open()
    assert (await bulk)[:, 0].tolist() == [90] * 6


async def test_queries_that_arrive_meanwhile_go_in_one_call(embedder, encoder):
    encoder.gates["query"].clear()
    first = asyncio.create_task(embedder.embed(["first"], "query"))
    await until(lambda: encoder.calls)
    others = [asyncio.create_task(embedder.embed(["q" * size], "query")) for size in (1, 2, 3, 4, 5)]
    await asyncio.sleep(0.01)
    encoder.open()
    assert [(await task)[0, 0] for task in (first, *others)] == [5, 1, 2, 3, 4, 5]
    assert encoder.texts("query") == [["first"], ["q", "qq", "qqq", "qqqq"], ["qqqqq"]]


async def test_the_same_query_is_computed_once(embedder, encoder):
    encoder.gates["query"].clear()
    tasks = [asyncio.create_task(embedder.embed(["same"], "query")) for _ in range(3)]
    await until(lambda: encoder.calls)
    encoder.open()
    await asyncio.gather(*tasks)
    await embedder.embed(["same", "same"], "query")
    assert encoder.texts("query") == [["same"]]


async def test_the_least_recently_asked_query_is_forgotten(embedder, encoder):
    for text in ("a", "b", "c", "a", "d", "a", "b"):
        await embedder.embed([text], "query")
    assert encoder.texts("query") == [["a"], ["b"], ["c"], ["d"], ["b"]]


async def test_without_a_cache_every_query_is_computed(encoder):
    embedder = ThreadedEmbedder(encoder, query_cache_size=0)
    for _ in range(2):
        await embedder.embed(["a"], "query")
    embedder.close()
    assert encoder.texts("query") == [["a"], ["a"]]


async def test_a_caller_that_leaves_does_not_take_others_vectors(embedder, encoder):
    encoder.gates["query"].clear()
    leaving, staying = (asyncio.create_task(embedder.embed(["same"], "query")) for _ in range(2))
    await until(lambda: encoder.calls)
    leaving.cancel()
    encoder.open()
    assert (await staying)[0, 0] == 4
    assert leaving.cancelled()


async def test_calls_not_begun_are_dropped_with_their_caller(embedder, encoder):
    encoder.gates["passage"].clear()
    bulk = asyncio.create_task(embedder.embed(["a" * 90] * 8, "passage"))
    await until(lambda: len(encoder.texts("passage")) == 2)
    bulk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bulk
    encoder.open()
    assert (await embedder.embed(["b"], "passage"))[0, 0] == 1
    assert len(encoder.texts("passage")) == 3


async def test_full_lanes_refuse(embedder, encoder):
    for gate in encoder.gates.values():
        gate.clear()
    waiting = [asyncio.create_task(embedder.embed(["q0"], "query"))]
    await until(lambda: encoder.texts("query"))
    waiting += [asyncio.create_task(embedder.embed([f"q{number}"], "query")) for number in range(1, 11)]
    bulk = asyncio.create_task(embedder.embed(["a"] * 10, "passage"))
    await until(lambda: encoder.texts("passage"))
    for texts, kind in ((["one", "more"], "query"), (["more"], "passage")):
        with pytest.raises(Overloaded) as refused:
            await embedder.embed(texts, kind)
        assert refused.value.retry_after
    encoder.open()
    assert len(await asyncio.gather(*waiting, bulk)) == 12


@pytest.mark.parametrize("kind", ["query", "passage"])
async def test_an_engine_error_is_told_and_survived(embedder, encoder, kind):
    encoder.error = RuntimeError("out of memory at 0x7f")
    with pytest.raises(ModelUnavailable) as failed:
        await embedder.embed(["a"], kind)
    assert "0x7f" not in str(failed.value)
    encoder.error = None
    assert (await embedder.embed(["a"], kind))[0, 0] == 1


async def test_the_loop_is_not_blocked(embedder, encoder):
    encoder.gates["passage"].clear()
    bulk = asyncio.create_task(embedder.embed(["a"], "passage"))
    for _ in range(50):
        await asyncio.sleep(0)
    assert await embedder.count_tokens(["abc"]) == [3]
    assert not bulk.done()
    encoder.open()
    await bulk


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 500), st.integers(1, 8))
def test_groups_hold_every_item_once_within_limits(lengths, max_tokens, max_items):
    groups = list(group_by_tokens(lengths, max_tokens, max_items))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert len(group) == 1 or (len(group) <= max_items and len(group) * longest <= max_tokens)


def test_what_utf8_cannot_hold_is_replaced():
    assert encodable("a\x00b\ud800c 退款") == "ab\ufffdc 退款"


def test_a_zero_row_stays_zero():
    rows = normalise(np.array([[3, 4], [0, 0]], dtype=np.float32))
    assert rows.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 0])


def test_every_configurable_backend_is_registered():
    assert set(BACKENDS) == set(EmbedderSettings.model_fields["backend"].annotation.__args__)


def test_the_fake_is_the_ports():
    assert isinstance(build_embedder(Settings(embedder={"backend": "fake"})), FakeEmbedder)


def test_missing_files_are_told_plainly(tmp_path):
    with pytest.raises(ModelUnavailable, match="voicehelper models pull multilingual-e5-small-ct2"):
        build_embedder(Settings(cache=tmp_path))
