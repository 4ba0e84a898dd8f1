"""Limits, verdicts, and what gives them.

The algorithm is a sliding window counter: a window of W seconds is cut into `BUCKETS` buckets, and a request is
admitted when the bucket it falls into and the `BUCKETS` before it hold fewer than `quota` requests. These cover W and
up to one bucket more, so no window of W seconds, wherever it begins, ever holds more than `quota` admitted requests;
the price is that somebody who asks as fast as he may gets `quota` in W x (1 + 1/BUCKETS). (The usual counter of two
windows, the older one weighted, admits nearly twice its quota around a boundary.) Refused requests are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

BUCKETS: Final = 30


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` requests in a window, of whatever `key` stands for.

    Attributes:
        name: as clients see it in the headers: `address`, `user` ...
        key: of the counter; holds no address or other personal data.
        quota: requests in a window.
    """

    name: str
    key: str
    quota: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one request, in terms of the limit that matters: the one that refuses it (of several, the one that
    does so for longest), else the one with the least left.

    Attributes:
        allowed: whether the request was admitted, and counted.
        place: of that limit among those asked about.
        remaining: requests left of its quota, this one taken off.
        reset: seconds until a part of what was used comes back; when refused, until a request is admitted again if
            nobody else takes its place.
    """

    allowed: bool
    place: int
    remaining: int
    reset: float


class Counters(Protocol):
    """Counts requests against limits."""

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        """Count one request against all of `limits` (at least one), or against none where one of them refuses it.

        Raises `Unavailable` when the counters cannot be reached.
        """
        ...


class RateLimiter(Protocol):
    """What the gateway asks."""

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        """As `Counters`, but never raises."""
        ...

    def known_refusal(self, limits: Sequence[Limit]) -> Verdict | None:
        """The verdict where it is known without asking that one of `limits` refuses."""
        ...
