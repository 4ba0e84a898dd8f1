"""Fusing the scores of the engines into one: a policy is a pure function."""

import math
from collections.abc import Callable, Mapping
from uuid import UUID

Scores = Mapping[UUID, float]
"""Scores of one engine by chunk; higher is better."""

FusionPolicy = Callable[[Scores | None, Scores | None], dict[UUID, float]]
"""(dense, keyword) to the fused score of every chunk that either knows, best first; None for an engine that is down."""


def weighted(dense_weight: float, temperature: float) -> FusionPolicy:
    """The convex combination `dense_weight` x closeness + (1 - `dense_weight`) x keyword coverage (docs/adr/0005).

    Closeness is `exp((cosine - 1) / temperature)`: contrastive training makes differences near the top mean more than
    the same differences further down. Both parts lie in 0..1 and neither is normalised by the other candidates, so a
    passage's score does not depend on its rivals, and where little of the query is covered the vectors decide.

    Args:
        dense_weight: 0 to 1; has no effect on the order while an engine is down.
        temperature: above 0; belongs to the embedding model.
    """

    def policy(dense: Scores | None, keyword: Scores | None) -> dict[UUID, float]:
        near = {chunk: math.exp((min(score, 1.0) - 1) / temperature) for chunk, score in (dense or {}).items()}
        if dense is None or keyword is None:
            return _sorted(near or dict(keyword or {}))
        return _sorted(
            {
                chunk: dense_weight * near.get(chunk, 0.0) + (1 - dense_weight) * keyword.get(chunk, 0.0)
                for chunk in near.keys() | keyword.keys()
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
