"""multilingual-e5-small as an int8 CTranslate2 encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from actors.embedding.e5_tokenizer import E5Tokenizer
from actors.embedding.encoder import E5_PREFIXES, encodable, group_by_tokens, normalise
from voicehelper.errors import InvalidInput
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors

BOS, EOS, PAD = 0, 2, 1
DIMENSIONS = 384
WINDOW = 512
MAX_WINDOWS = 64
BATCH_TOKENS = 768


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of a text that fits the model: which text, and its tokens."""

    text: int
    ids: list[int]


class CTranslate2Encoder:
    """Implements `TextEncoder`.

    One call uses one core; `threads` calls run in parallel, and one more, so that a query never waits for a free worker
    behind passages. Calls of more than `BATCH_TOKENS` tokens are slower per token: their activations leave the
    core's cache (see benchmarks/bench_embedder.py).
    """

    def __init__(self, folder: Path, name: str, threads: int, batch_tokens: int = BATCH_TOKENS) -> None:
        self._tokenizer = E5Tokenizer(folder)
        self._encoder = ctranslate2.Encoder(
            str(folder), device="cpu", compute_type="int8", inter_threads=threads + 1, intra_threads=1
        )
        prefix = max(len(ids) for ids in self._tokenizer.encode([text.strip() for text in E5_PREFIXES.values()]))
        self.info = EmbedderInfo(name, DIMENSIONS, WINDOW - 2 - prefix)
        self.parallel = threads
        self.batch_tokens = batch_tokens

    def encode(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """See `TextEncoder`. Raises `InvalidInput` for a text of more than `MAX_WINDOWS` windows."""
        tokens = self._tokenizer.encode([encodable(text) for text in texts], E5_PREFIXES[kind])
        windows = [window for text, ids in enumerate(tokens) for window in _windows(text, ids)]
        sums = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for group in group_by_tokens([len(window.ids) for window in windows], self.batch_tokens, len(windows)):
            chosen = [windows[index] for index in group]
            for window, mean in zip(chosen, self._forward([window.ids for window in chosen]), strict=True):
                sums[window.text] += mean * len(window.ids)
        return normalise(sums)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextEncoder`."""
        return [len(ids) for ids in self._tokenizer.encode([encodable(text) for text in texts])]

    def _forward(self, batch: list[list[int]]) -> list[NDArray[np.float32]]:
        """The mean of each sequence's hidden states."""
        lengths = np.array([len(ids) for ids in batch], dtype=np.int32)
        padded = np.full((len(batch), lengths.max()), PAD, dtype=np.int32)
        for row, ids in zip(padded, batch, strict=True):
            row[: len(ids)] = ids
        output = self._encoder.forward_batch(
            ctranslate2.StorageView.from_array(padded), ctranslate2.StorageView.from_array(lengths)
        )
        hidden = np.asarray(output.last_hidden_state)
        return [hidden[row, :length].mean(axis=0) for row, length in enumerate(lengths)]


def _windows(text: int, ids: list[int]) -> list[_Window]:
    """The windows of a text: one, unless it is longer than the model can see."""
    inside = WINDOW - 2
    if len(ids) > MAX_WINDOWS * inside:
        raise InvalidInput(f"A text of {len(ids)} tokens is too long to embed", {"max_tokens": MAX_WINDOWS * inside})
    starts = range(0, max(len(ids), 1), inside)
    return [_Window(text, [BOS, *ids[start : start + inside], EOS]) for start in starts]
