"""One counter of the sliding window algorithm (see `limits.model`); `stores.rate_limits` has the same in Lua."""

import math
from dataclasses import dataclass, field

from voicehelper.limits.model import BUCKETS


def bucket_width(window_s: float) -> int:
    """Microseconds of one bucket."""
    return math.ceil(window_s * 1_000_000 / BUCKETS)


@dataclass(slots=True)
class Window:
    """Admitted requests by bucket of time. `bucket` is the newest one, a number that counts up with time.

    `counts` holds the newest bucket last, `BUCKETS` older ones before it.
    """

    bucket: int
    counts: list[int] = field(default_factory=lambda: [0] * (BUCKETS + 1))
    total: int = 0

    def roll(self, bucket: int) -> None:
        """Move on to `bucket`; a clock that went back stays where it was."""
        steps = bucket - self.bucket
        if steps <= 0:
            return
        kept = self.counts[steps:] if steps <= BUCKETS else []
        self.counts = kept + [0] * (BUCKETS + 1 - len(kept))
        self.total = sum(kept)
        self.bucket = bucket

    def add(self) -> None:
        """Count a request."""
        self.counts[-1] += 1
        self.total += 1

    def freed_at(self, quota: int) -> int:
        """The bucket with which another request is admitted; 0 where it is now."""
        return self._left(self.total - quota + 1) if self.total >= quota else 0

    def next_freed(self) -> int:
        """The bucket with which the oldest counted request has left the window."""
        return self._left(1)

    def _left(self, wanted: int) -> int:
        left = 0
        for place, count in enumerate(self.counts):
            left += count
            if left >= wanted:
                return self.bucket + place + 1
        return self.bucket + BUCKETS + 1
