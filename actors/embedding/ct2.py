"""multilingual-e5-small as an int8 CTranslate2 encoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from actors.embedding.e5_tokenizer import E5Tokenizer
from actors.embedding.encoder import E5_PREFIXES, encodable, normalise
from voicehelper.errors import InvalidInput
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors

BOS, EOS, PAD = 0, 2, 1
DIMENSIONS = 384
WINDOW = 512
MAX_WINDOWS = 64
BATCH_TOKENS = 512
LENGTH_STEP = 16


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of a text that fits the model: which text, and its tokens."""

    text: int
    ids: list[int]

    @property
    def shape(self) -> int:
        """The length it is padded to, which hangs on the text alone."""
        return -(-len(self.ids) // LENGTH_STEP) * LENGTH_STEP


class CTranslate2Encoder:
    """Implements `TextEncoder`.

    One call uses one core; `threads` calls run in parallel, and one more, so that a query never waits for a free worker
    behind passages. Calls of more than `BATCH_TOKENS` tokens are slower per token: their activations leave the
    core's cache (see benchmarks/bench_embedder.py).

    A text's vector is the same, to the bit, whatever it is batched with. The padded length decides in which order the
    engine sums, and int8 rounding blows that last bit up to a cosine of .9993; so a text is padded by its own length,
    and batched only with texts of that padded length.
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
        for call in self._calls(windows):
            for window, mean in zip(call, self._forward(call), strict=True):
                sums[window.text] += mean * len(window.ids)
        return normalise(sums)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextEncoder`."""
        return [len(ids) for ids in self._tokenizer.encode([encodable(text) for text in texts])]

    def _calls(self, windows: list[_Window]) -> Iterator[list[_Window]]:
        """Windows of one shape, within `batch_tokens`."""
        for shape, alike in groupby(sorted(windows, key=lambda window: window.shape), key=lambda window: window.shape):
            left = list(alike)
            size = max(1, self.batch_tokens // shape)
            yield from (left[start : start + size] for start in range(0, len(left), size))

    def _forward(self, call: list[_Window]) -> list[NDArray[np.float32]]:
        """The mean of each window's hidden states."""
        lengths = np.array([len(window.ids) for window in call], dtype=np.int32)
        padded = np.full((len(call), call[0].shape), PAD, dtype=np.int32)
        for row, window in zip(padded, call, strict=True):
            row[: len(window.ids)] = window.ids
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
