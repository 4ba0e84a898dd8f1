"""Whether one model may be called: a breaker on its rate of failures, and what probes found. Pure: (state, event, now).

closed -> open when more than `rate` of at least `calls` calls in the window failed; open -> half open when its time is
over and somebody asks; half open -> closed when `trials` calls in a row were good, open again, for twice as long, when
one was not. Beside that, a model cools when it says that it is called too often, and is out when `probe_failures`
probes in a row failed. `stores.breakers` holds the same rules in Redis.

Times are integer milliseconds.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from voicehelper.config import ModelSettings

BUCKETS: Final = 6
"""Of the window: as finely is it forgotten."""

DOUBLINGS: Final = 3
"""Of the time that it stays open."""


class Phase(IntEnum):
    """Of a breaker."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens and closes."""

    rate: float
    calls: int
    window_ms: int
    open_ms: int
    trials: int
    probe_failures: int
    out_ms: int

    @staticmethod
    def of(settings: ModelSettings) -> "Rules":
        """As they are set."""
        return Rules(
            settings.breaker_rate,
            settings.breaker_calls,
            int(settings.breaker_window_s * 1000),
            int(settings.breaker_open_s * 1000),
            settings.breaker_trials,
            settings.probe_failures,
            int(settings.out_s * 1000),
        )

    @property
    def bucket_ms(self) -> int:
        """Width of a bucket."""
        return max(1, self.window_ms // BUCKETS)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one model.

    Attributes:
        until: end of the open phase. opened: times in a row that it opened.
        given, passed: trials handed out since `since`, and those that were good.
        cool: until when the model asked not to be called.
        probes: failed probes in a row. out: until when that keeps it out.
        last: when it was last called or probed.
        window: (bucket, good calls, failed calls), oldest first.
    """

    phase: Phase = Phase.CLOSED
    until: int = 0
    opened: int = 0
    given: int = 0
    passed: int = 0
    since: int = 0
    cool: int = 0
    probes: int = 0
    out: int = 0
    last: int = 0
    window: tuple[tuple[int, int, int], ...] = ()


def wait_ms(breaker: Breaker, now: int) -> int:
    """For how long it must not be called; 0: it may be, perhaps as a trial."""
    until = max(breaker.cool, breaker.out, breaker.until if breaker.phase is Phase.OPEN else 0)
    return max(0, until - now)


def admitted(breaker: Breaker, now: int, rules: Rules) -> tuple[Breaker, bool]:
    """Somebody wants to call it. Trials that nobody reported on are handed out again after a while."""
    if breaker.phase is Phase.CLOSED:
        return breaker, True
    if breaker.phase is Phase.OPEN:
        if now < breaker.until:
            return breaker, False
        return replace(breaker, phase=Phase.HALF_OPEN, given=1, passed=0, since=now), True
    if breaker.given < rules.trials:
        return replace(breaker, given=breaker.given + 1), True
    if now - breaker.since >= rules.open_ms:
        return replace(breaker, given=breaker.passed + 1, since=now), True
    return breaker, False


def reported(breaker: Breaker, ok: int, failed: int, now: int, rules: Rules) -> Breaker:
    """So many calls ended well, so many by the model's fault. What ends while it is open began before, and says nothing
    new."""
    breaker = replace(breaker, last=now, probes=0 if ok else breaker.probes)
    if breaker.phase is Phase.OPEN:
        return breaker
    if breaker.phase is Phase.HALF_OPEN:
        if failed:
            return _opened(breaker, now, rules)
        passed = breaker.passed + ok
        if passed >= rules.trials:
            return replace(breaker, phase=Phase.CLOSED, opened=0, given=0, passed=0, window=())
        return replace(breaker, passed=passed)
    window = _added(breaker.window, now // rules.bucket_ms, ok, failed)
    bad = sum(bucket[2] for bucket in window)
    total = bad + sum(bucket[1] for bucket in window)
    breaker = replace(breaker, window=window)
    return _opened(breaker, now, rules) if total >= rules.calls and bad > rules.rate * total else breaker


def cooled(breaker: Breaker, for_ms: int, now: int) -> Breaker:
    """It asked not to be called for so long."""
    return replace(breaker, cool=max(breaker.cool, now + for_ms))


def leased(breaker: Breaker, idle_ms: int, now: int) -> tuple[Breaker, bool]:
    """Somebody wants to probe it: granted where nobody called or probed it for `idle_ms`."""
    if now - breaker.last < idle_ms:
        return breaker, False
    return replace(breaker, last=now), True


def probed(breaker: Breaker, ok: bool, now: int, rules: Rules) -> Breaker:
    """A probe ended; while trials are due it is one."""
    if breaker.phase is Phase.HALF_OPEN or (breaker.phase is Phase.OPEN and now >= breaker.until):
        breaker, _ = admitted(breaker, now, rules)
        breaker = reported(breaker, int(ok), int(not ok), now, rules)
    if ok:
        return replace(breaker, probes=0, out=0, last=now)
    failures = breaker.probes + 1
    if failures < rules.probe_failures:
        return replace(breaker, probes=failures, last=now)
    # One below, so that the first failure after its time puts it out again.
    return replace(breaker, probes=rules.probe_failures - 1, out=now + rules.out_ms, last=now)


def _opened(breaker: Breaker, now: int, rules: Rules) -> Breaker:
    until = now + rules.open_ms * 2 ** min(breaker.opened, DOUBLINGS)
    return replace(
        breaker, phase=Phase.OPEN, until=until, opened=breaker.opened + 1, given=0, passed=0, since=0, window=()
    )


def _added(
    window: tuple[tuple[int, int, int], ...], bucket: int, ok: int, failed: int
) -> tuple[tuple[int, int, int], ...]:
    kept = [old for old in window if old[0] > bucket - BUCKETS]
    if kept and kept[-1][0] >= bucket:
        newest, good, bad = kept.pop()
        return (*kept, (newest, good + ok, bad + failed))
    return (*kept, (bucket, ok, failed))
