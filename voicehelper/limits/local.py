"""Limits of one process: what counts while Redis is away."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from voicehelper.limits.model import Limit, Verdict
from voicehelper.limits.window import Window, bucket_width


class LocalLimiter:
    """Counts in memory. Forgets the counters that were not used for longest beyond `capacity` of them."""

    def __init__(self, window_s: float, now: Callable[[], float] = time.monotonic, capacity: int = 100_000) -> None:
        self._width = bucket_width(window_s)
        self._now = now
        self._capacity = capacity
        self._windows: OrderedDict[str, Window] = OrderedDict()

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        """See `Counters`; never raises."""
        return self.decide(limits)

    def decide(self, limits: Sequence[Limit]) -> Verdict:
        """`acquire`, at once."""
        now = int(self._now() * 1_000_000)
        windows = [self._window(limit.key, now // self._width) for limit in limits]
        freed = [window.freed_at(limit.quota) for limit, window in zip(limits, windows, strict=True)]
        last = max(freed)
        if last > 0:
            return Verdict(False, freed.index(last), 0, self._until(last, now))
        for window in windows:
            window.add()
        left = [limit.quota - window.total for limit, window in zip(limits, windows, strict=True)]
        place = left.index(min(left))
        return Verdict(True, place, left[place], self._until(windows[place].next_freed(), now))

    def _until(self, bucket: int, now: int) -> float:
        return max(0, bucket * self._width - now) / 1_000_000

    def _window(self, key: str, bucket: int) -> Window:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._capacity:
                self._windows.popitem(last=False)
            window = self._windows[key] = Window(bucket)
        else:
            self._windows.move_to_end(key)
            window.roll(bucket)
        return window
