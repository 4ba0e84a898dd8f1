"""Embedding models behind vendors' APIs, in OpenAI's format."""

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from actors.chat.upstream import Upstream
from voicehelper.errors import ModelUnavailable
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors
from voicehelper.telemetry import metrics

_TOGETHER = 4  # calls of one `embed` in flight

# What models were trained to see before a text: (query, passage), by their published names.
_PREFIXES: Final[tuple[tuple[re.Pattern[str], tuple[str, str]], ...]] = (
    (re.compile(r"(?i).*e5-.*instruct"), ("Instruct: Retrieve passages that answer the question\nQuery: ", "")),
    (re.compile(r"(?i)(.*/)?(multilingual-)?e5-"), ("query: ", "passage: ")),
    (re.compile(r"(?i).*qwen3-embedding"), ("Instruct: Retrieve passages that answer the question\nQuery:", "")),
    (re.compile(r"(?i).*bge-(small|base|large)-zh"), ("为这个句子生成表示以用于检索相关文章：", "")),
    (
        re.compile(r"(?i).*bge-(small|base|large)-en"),
        ("Represent this sentence for searching relevant passages: ", ""),
    ),
)


def prefixes_of(model: str) -> tuple[str, str]:
    """What to put before queries and before passages for `model`; empty for models that need nothing."""
    return next((prefixes for pattern, prefixes in _PREFIXES if pattern.match(model)), ("", ""))


class RemoteEmbedder:
    """Implements `Embedder`. It never retries.

    Args:
        upstream: the `/embeddings` endpoint.
        model: the remote model's name.
        name: of the vector space.
        metered: what metrics call the model; empty for `name`.
        dimensions: asked of models that can shorten their vectors; 0 for the model's own, learnt from a first call.
        max_tokens: of a text.
        batch: most texts in one call.
        prefixes: put before queries, and before passages.
        base64_floats: vectors are asked for as base64, a quarter of the bytes.
    """

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        *,
        name: str = "",
        metered: str = "",
        dimensions: int = 0,
        max_tokens: int = 512,
        batch: int = 64,
        prefixes: tuple[str, str] = ("", ""),
        base64_floats: bool = True,
    ) -> None:
        self._upstream = upstream
        self._fixed: dict[str, Any] = {"model": model, "encoding_format": "base64" if base64_floats else "float"}
        if dimensions:
            self._fixed["dimensions"] = dimensions
        self._name = name or model
        self._metered = metered or self._name
        self._dimensions = dimensions
        self._max_tokens = max_tokens
        self._batch = batch
        self._prefixes = dict(zip(("query", "passage"), prefixes, strict=True))

    async def describe(self) -> EmbedderInfo:
        """See `Embedder`. Asks the vendor once where the vectors' length was not given."""
        if not self._dimensions:
            await self.embed(["."], "passage")
        return EmbedderInfo(self._name, self._dimensions, self._max_tokens)

    async def embed(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """See `Embedder`. Raises also `InvalidInput` (`ContextTooLong`) and `DeadlineExceeded`."""
        if not texts:
            return np.empty((0, self._dimensions), dtype=np.float32)
        prefix = self._prefixes[kind]
        inputs = [prefix + text for text in texts]
        batches = [inputs[start : start + self._batch] for start in range(0, len(inputs), self._batch)]
        places = asyncio.Semaphore(_TOGETHER)

        async def one(batch: list[str]) -> Vectors:
            async with places:
                return await self._call(batch)

        vectors = np.concatenate(await asyncio.gather(*map(one, batches)))
        metrics.EMBEDDED_TEXTS.labels(self._metered, kind).inc(len(texts))
        return vectors

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates: the format has no tokenizer."""
        return [estimate_tokens(text) for text in texts]

    async def _call(self, inputs: list[str]) -> Vectors:
        answer = await self._upstream.answer(self._fixed | {"input": inputs})
        try:
            vectors = _vectors(answer, len(inputs))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelUnavailable("The embedding server sent something that is not vectors") from error
        self._dimensions = self._dimensions or vectors.shape[1]
        if vectors.shape[1] != self._dimensions:
            raise ModelUnavailable("The embedding server's vectors have another length than they had")
        return vectors


def _vectors(answer: Mapping[str, Any], count: int) -> Vectors:
    rows: list[Vectors | None] = [None] * count
    for place, item in enumerate(answer["data"]):
        rows[item.get("index", place)] = _floats(item["embedding"])
    vectors: Vectors = np.stack([row for row in rows if row is not None])
    if len(vectors) != count or not np.isfinite(vectors).all():
        raise ValueError("not every text has a vector")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, norms, out=vectors, where=norms > 0)
    return vectors


def _floats(embedding: Any) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
    return np.asarray(embedding, dtype=np.float32)
