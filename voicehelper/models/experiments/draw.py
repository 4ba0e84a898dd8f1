"""Who gets which variant, by arithmetic alone: the same on every replica, and after a restart.

A user's draw is SHA-256(experiment id | salt | user id). Its first 8 bytes over 2^64 are his place among the cumulative
weights, the next 8 say whether he takes part, so that the two do not depend on each other.
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

from voicehelper.models.experiments.model import Weights

BUCKETS = 64
"""Users are thrown into so many groups, by which variances are estimated (see `comparison`)."""

SUBJECT_BYTES = 16
OUTSIDE = -1
_SPAN = 2.0**64


def draw(experiment_id: UUID, salt: str, user: str) -> bytes:
    """The user's 32 bytes in this experiment."""
    return hashlib.sha256(f"{experiment_id}|{salt}|{user}".encode()).digest()


def subject_of(drawn: bytes) -> bytes:
    """What stands for the user in tables: it does not name him."""
    return drawn[:SUBJECT_BYTES]


def bucket_of(drawn: bytes) -> int:
    """His group, 0 to 63; independent of his variant."""
    return drawn[16] % BUCKETS


@dataclass(frozen=True, slots=True)
class Cut:
    """Weights, ready to divide users. `bounds` lie between the variants, up to the last one that has any weight."""

    weights: Weights
    bounds: tuple[float, ...]

    def variant(self, drawn: bytes) -> int:
        """The place of the variant; `OUTSIDE` for who takes no part."""
        if int.from_bytes(drawn[8:16]) >= self.weights.traffic * _SPAN:  # whole: a quotient could be rounded up to 1
            return OUTSIDE
        return bisect_right(self.bounds, int.from_bytes(drawn[:8]) / _SPAN)


def cut(weights: Weights) -> Cut:
    """Raises `ValueError` where no variant has any weight."""
    total = sum(weights.shares)
    if total <= 0 or min(weights.shares) < 0:
        raise ValueError("weights must not be negative, nor all be 0")
    bounds = [bound / total for bound in accumulate(weights.shares)]
    last = max(place for place, share in enumerate(weights.shares) if share > 0)
    return Cut(weights, tuple(bounds[:last]))
