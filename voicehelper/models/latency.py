"""How long models take to their first piece: histograms that can be added up, and what they tell."""

import math
from collections.abc import Mapping
from typing import Final

_FIRST_MS: Final = 1.0
_GROWTH: Final = 1.15  # a quantile is off by at most so much
BUCKETS: Final = 88
"""From a millisecond to more than three minutes."""

FEWEST: Final = 20
"""Calls below which nothing is said."""

_LOG_GROWTH: Final = math.log(_GROWTH)


def bucket_of(ms: float) -> int:
    """The bucket of a duration."""
    if ms <= _FIRST_MS:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log(ms / _FIRST_MS) / _LOG_GROWTH))


def bound_ms(bucket: int) -> float:
    """The longest duration of a bucket."""
    return _FIRST_MS * _GROWTH**bucket


def quantile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """The duration that `share` of the calls did not exceed; None where too few calls tell."""
    total = sum(counts.values())
    if total < FEWEST:
        return None
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= share * total:
            return bound_ms(bucket)
    return None
