"""What an embedding model must offer, and the arithmetic that all of them share."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors

E5_PREFIXES: dict[EmbedKind, str] = {"query": "query: ", "passage": "passage: "}
_UNENCODABLE = {0: "", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}


class TextEncoder(Protocol):
    """One loaded model. Calls block and release the GIL; several threads may call at once.

    Attributes:
        info: the model, as the port describes it.
        parallel: calls worth running at the same time, in bulk.
        batch_tokens: tokens (padding included) from which on a larger call gives no more texts a second.
    """

    info: EmbedderInfo
    parallel: int
    batch_tokens: int

    def encode(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """Vectors of shape (len(texts), dimensions), L2-normalised. Long texts are embedded whole, window by window."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Exact token counts, without prefix and marks."""
        ...


def encodable(text: str) -> str:
    """`text` without what UTF-8 or a C string cannot hold: lone surrogates become U+FFFD, NUL goes."""
    return text.translate(_UNENCODABLE)


def normalise(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def group_by_tokens(lengths: Sequence[int], max_tokens: int, max_items: int) -> Iterator[list[int]]:
    """Indices in groups of similar length, longest first (a shape too big for memory shows at once).

    A group's padded size, items x longest, stays within `max_tokens`, unless a single item is longer.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if group and (len(group) == max_items or (len(group) + 1) * lengths[group[0]] > max_tokens):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
