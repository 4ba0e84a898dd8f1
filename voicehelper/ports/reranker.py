"""How well texts answer a query."""

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """Scores texts against a query, each pair read as a whole: slower than comparing vectors, and better."""

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """A score for each text, in the order of `texts`; higher is better, and only comparable within one call.

        Raises `InvalidInput` (`ContextTooLong`), `ModelUnavailable`, `Overloaded`, `DeadlineExceeded`.
        """
        ...


class NullReranker:
    """Finds all texts equally good, so that a stable sort keeps their order."""

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Zeros."""
        return [0.0] * len(texts)


class FakeReranker:
    """Scores by the share of the query's characters that a text has; keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Between 0 and 1."""
        self.calls.append((query, list(texts)))
        wanted = set(query)
        return [len(wanted & set(text)) / max(1, len(wanted)) for text in texts]
