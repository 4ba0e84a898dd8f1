"""Text to vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EmbedKind = Literal["query", "passage"]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """`model` names the vector space: vectors of different models are never compared."""

    model: str
    dimensions: int
    max_tokens: int


class Embedder(Protocol):
    """Embeds texts into unit-length vectors."""

    async def describe(self) -> EmbedderInfo:
        """The model behind this port."""
        ...

    async def embed(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """Vectors of shape (len(texts), dimensions), float32, L2-normalised, in the order of `texts`.

        Raises `ModelUnavailable` when the model cannot be reached and `Overloaded` when its queue is full.
        """
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text in this model's own tokenizer, without the query/passage prefix."""
        ...


class FakeEmbedder:
    """Hashes character bigrams into a unit vector: similar texts are near, no model is needed."""

    def __init__(self, dimensions: int = 384) -> None:
        self.dimensions = dimensions
        self.calls: list[tuple[list[str], EmbedKind]] = []

    async def describe(self) -> EmbedderInfo:
        """A made-up model name, so that fake vectors never mix with real ones."""
        return EmbedderInfo(f"fake-bigram-{self.dimensions}", self.dimensions, 512)

    async def embed(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """Same shape and norm as a real embedder."""
        self.calls.append((list(texts), kind))
        out = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            for pair in zip(text, text[1:] + " ", strict=True):
                digest = hashlib.blake2b("".join(pair).encode(), digest_size=4).digest()
                row[int.from_bytes(digest, "big") % self.dimensions] += 1.0
            row /= np.linalg.norm(row) or 1.0
        return out

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One token a character."""
        return [len(text) for text in texts]
