"""Limits that hold whatever happens to Redis."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from voicehelper.errors import Unavailable
from voicehelper.limits.local import LocalLimiter
from voicehelper.limits.model import Counters, Limit, Verdict
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_RETRY_S = 0.5
_REMEMBERED = 10_000
_PROBE = (Limit("probe", "vh:{limits}:probe", 1_000_000),)


class FallbackLimiter:
    """Asks the shared counters; while they are away, this process's own (same quotas, from zero).

    A request waits for an outage at most once, until it is noticed: from then on a task of its own tries whether the
    counters are back. Refusals are remembered until they end: the counters cannot change before, so that who is over
    his limit costs no round trip.
    """

    def __init__(self, shared: Counters, local: LocalLimiter, now: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._local = local
        self._now = now
        self._refused: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._probing: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether the shared counters are away."""
        return self._probing is not None

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        """See `RateLimiter`; never raises."""
        refusal = self.known_refusal(limits)
        if refusal is not None:
            return refusal
        if self._probing is not None:
            return self._alone(limits)
        try:
            verdict = await self._shared.acquire(limits)
        except Unavailable:
            self._lost()
            return self._alone(limits)
        if not verdict.allowed:
            self._remember(limits[verdict.place], verdict.reset)
        return verdict

    def known_refusal(self, limits: Sequence[Limit]) -> Verdict | None:
        """See `RateLimiter`."""
        if not self._refused:
            return None
        now = self._now()
        for place, limit in enumerate(limits):
            until = self._refused.get((limit.key, limit.quota))
            if until is None:
                continue
            if until > now:
                return Verdict(False, place, 0, until - now)
            del self._refused[limit.key, limit.quota]
        return None

    async def close(self) -> None:
        """Stop trying."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _alone(self, limits: Sequence[Limit]) -> Verdict:
        metrics.FALLBACKS.labels("rate_limits").inc()
        return self._local.decide(limits)

    def _lost(self) -> None:
        if self._probing is None:
            log.warning("limits.alone")
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._shared.acquire(_PROBE)
            except Unavailable:
                continue
            log.info("limits.shared")
            self._probing = None
            return

    def _remember(self, limit: Limit, seconds: float) -> None:
        if len(self._refused) >= _REMEMBERED:
            self._refused.popitem(last=False)
        self._refused[limit.key, limit.quota] = self._now() + seconds
