"""Fusing the scores of the engines into one: a policy is a pure function."""

from collections.abc import Callable, Mapping
from uuid import UUID

Scores = Mapping[UUID, float]
"""Scores of one engine by chunk; higher is better."""

FusionPolicy = Callable[[Scores | None, Scores | None], dict[UUID, float]]
"""(dense, keyword) to the fused score of every chunk that either knows, best first; None for an engine that is down."""


def weighted(dense_weight: float) -> FusionPolicy:
    """The convex combination `dense_weight` x cosine + (1 - `dense_weight`) x keyword coverage.

    Both scores are absolute, so nothing is normalised by the other candidates: a passage's score does not depend on
    its rivals, and a query that no passage covers leaves the decision to the cosine by itself (docs/adr/0005).
    """

    def policy(dense: Scores | None, keyword: Scores | None) -> dict[UUID, float]:
        if dense is None or keyword is None:
            return _sorted(dict(dense or keyword or {}))
        floor = min(dense.values(), default=0.0)
        chunks = dense.keys() | keyword.keys()
        return _sorted(
            {
                chunk: dense_weight * dense.get(chunk, floor) + (1 - dense_weight) * keyword.get(chunk, 0.0)
                for chunk in chunks
            }
        )

    return policy


def reciprocal_rank(constant: int = 60) -> FusionPolicy:
    """Reciprocal rank fusion (Cormack et al. 2009), for comparison and for engines whose scores mean nothing."""

    def policy(dense: Scores | None, keyword: Scores | None) -> dict[UUID, float]:
        fused: dict[UUID, float] = {}
        for scores in (dense, keyword):
            for rank, chunk in enumerate(_sorted(dict(scores or {})), start=1):
                fused[chunk] = fused.get(chunk, 0.0) + 1 / (constant + rank)
        return _sorted(fused)

    return policy


def _sorted(scores: dict[UUID, float]) -> dict[UUID, float]:
    """Best first; the id breaks ties, so that the order is always the same."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
