"""Embedding models and rerankers of vendors, over a real socket in their own formats."""

import base64
import time
from uuid import uuid4

import numpy as np
import pytest

from actors.chat.backends import VendorBackends
from actors.embedding.remote import prefixes_of
from tests.fakes.openai_server import Behaviour, Exchange, openai_server
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import ContextTooLong, DeadlineExceeded, ModelUnavailable, Overloaded
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import FakeChatModel
from voicehelper.ports.reranker import FakeReranker, NullReranker


class Keys:
    def key_of(self, entry: ModelEntry) -> str:
        return "k-1"


async def with_server(behaviour: Behaviour, provider: str, call, **fields):
    async with openai_server(behaviour) as server:
        made = VendorBackends(FakeChatModel(), Keys())
        try:
            return await call(made, ModelEntry(uuid4(), "ours", provider, base_url=server.url, **fields)), server.seen
        finally:
            await made.close()


def vector_of(text: str) -> list[float]:
    return [float(len(text)), 2.0, 0.0]


def embeds(*, shuffled: bool = False) -> Behaviour:
    """As OpenAI and vLLM answer; base64 where it was asked for."""

    async def behave(exchange: Exchange) -> None:
        data = []
        for index, text in enumerate(exchange.body["input"]):
            vector: object = vector_of(text)
            if exchange.body["encoding_format"] == "base64":
                vector = base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        body = {"object": "list", "data": data[::-1] if shuffled else data, "model": "m", "usage": usage}
        await exchange.json(200, body)

    return behave


@pytest.mark.parametrize(("provider", "encoding", "calls"), [("openai", "base64", 1), ("qwen", "float", 3)])
async def test_embeddings(provider, encoding, calls) -> None:
    texts = ["x" * n for n in range(1, 26)]

    async def call(made, entry):
        embedder = made.embedder(entry)
        return await embedder.embed(texts, "passage"), await embedder.describe()

    (vectors, info), seen = await with_server(embeds(shuffled=True), provider, call, kind="embedding", remote="e-1")
    assert vectors.shape == (25, 3) and vectors.dtype == np.float32
    wanted = np.array([vector_of(text) for text in texts])
    assert np.allclose(vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    assert (info.model, info.dimensions) == (f"{provider}/e-1", 3)
    assert len(seen) == calls and {each.body["encoding_format"] for each in seen} == {encoding}
    assert seen[0].path == "/v1/embeddings" and seen[0].headers["authorization"] == "Bearer k-1"


async def test_dimensions_prefixes_and_the_length_learnt() -> None:
    async def call(made, entry):
        embedder = made.embedder(entry)
        info = await embedder.describe()
        await embedder.embed(["退款"], "query")
        await embedder.embed([], "query")
        return info, await embedder.count_tokens(["退款", ""])

    options = {"dimensions": 3, "max_tokens": 100, "passage_prefix": "p: "}
    (info, counts), seen = await with_server(
        embeds(), "vllm", call, kind="embedding", remote="intfloat/multilingual-e5-small", options=options
    )
    assert (info.dimensions, info.max_tokens, counts) == (3, 100, [2, 0])
    assert [(each.body["input"], each.body["dimensions"]) for each in seen] == [(["query: 退款"], 3)]
    assert prefixes_of("text-embedding-3-small") == ("", "")


async def test_embeddings_that_are_none() -> None:
    answers = [
        {"data": [{"index": 0, "embedding": [1, 2]}]},
        {"data": []},
        {"data": [{"index": 0, "embedding": "&&"}, {"index": 1, "embedding": "&&"}]},
        {"data": [{"index": 0, "embedding": [float("nan")]}, {"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 7, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]},
        {"oops": 1},
        [1],
    ]
    for answer in answers:

        async def behave(exchange: Exchange, answer=answer) -> None:
            await exchange.json(200, answer)

        with pytest.raises(ModelUnavailable):
            await with_server(behave, "vllm", lambda made, entry: made.embedder(entry).embed(["a", "b"], "query"))


@pytest.mark.parametrize(
    ("provider", "status", "error", "expected"),
    [
        ("vllm", 400, {"message": "This model's maximum context length is 512 tokens", "code": 400}, ContextTooLong),
        ("openai", 429, {"code": "rate_limit_exceeded"}, Overloaded),
        ("qwen", 429, {"code": "insufficient_quota"}, Overloaded),
        ("openai", 500, {}, ModelUnavailable),
    ],
)
async def test_embedding_errors(provider, status, error, expected) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.error(status, **error)

    with pytest.raises(expected) as caught:
        await with_server(behave, provider, lambda made, entry: made.embedder(entry).embed(["a"], "query"))
    assert type(caught.value) is expected


async def test_the_deadline_of_embeddings() -> None:
    import asyncio

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(60)

    with use_context(RequestContext(deadline=time.time() + 0.2)), pytest.raises(DeadlineExceeded):
        await with_server(slow, "vllm", lambda made, entry: made.embedder(entry).embed(["a"], "query"))


def ranks(**around) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        texts = (exchange.body.get("input") or exchange.body)["documents"]
        results = [{"index": n, "relevance_score": 1 / (1 + len(text))} for n, text in enumerate(texts)]
        body = {"id": "r1", "results": sorted(results, key=lambda result: -result["relevance_score"])}
        await exchange.json(200, {"output": body, "request_id": "x"} if around.get("native") else body)

    return behave


@pytest.mark.parametrize(
    ("provider", "remote", "options", "path", "native"),
    [
        ("vllm", "bge-reranker", {}, "/v1/rerank", False),
        ("ernie", "bce-reranker-base", {}, "/v1/rerankers", False),
        ("qwen", "qwen3-rerank", {"rerank_url": "/compatible-api/v1/reranks"}, "/v1/compatible-api/v1/reranks", False),
        ("qwen", "gte-rerank-v2", {"rerank_url": "/rerank/text-rerank"}, "/v1/rerank/text-rerank", True),
    ],
)
async def test_rerankers(provider, remote, options, path, native) -> None:
    async def call(made, entry):
        reranker = made.reranker(entry)
        assert await reranker.rerank("退款", []) == []
        return await reranker.rerank("退款", ["aaa", "", "aa"])

    scores, seen = await with_server(
        ranks(native=native), provider, call, kind="rerank", remote=remote, options=options
    )
    assert scores == pytest.approx([0.25, 1.0, 1 / 3])
    (asked,) = seen
    assert asked.path == path and asked.body["model"] == remote
    assert (asked.body["input"] if native else asked.body)["query"] == "退款"


async def test_rankings_that_are_none() -> None:
    for answer in ({"results": [{"index": 0, "relevance_score": 1}]}, {"results": "x"}, {}, {"output": 3}):

        async def behave(exchange: Exchange, answer=answer) -> None:
            await exchange.json(200, answer)

        with pytest.raises(ModelUnavailable):
            await with_server(behave, "vllm", lambda made, entry: made.reranker(entry).rerank("q", ["a", "b"]))


async def test_stand_ins() -> None:
    assert await NullReranker().rerank("q", ["a", "b"]) == [0.0, 0.0]
    scores = await FakeReranker().rerank("退款", ["怎么退款", "你好"])
    assert scores == [1.0, 0.0]
