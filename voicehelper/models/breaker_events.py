"""What happens to breakers, and where their states lie: in this process, or (`stores.breakers`) in Redis."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.models.breaker import Breaker, Phase, Rules, admitted, cooled, leased, probed, reported, wait_ms


@dataclass(frozen=True, slots=True)
class Report:
    """So many calls ended well, so many by the model's fault."""

    ok: int
    failed: int


@dataclass(frozen=True, slots=True)
class Cool:
    """The model asked not to be called for so long."""

    for_ms: int


@dataclass(frozen=True, slots=True)
class Admit:
    """Somebody wants to call it; granted or not."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Somebody wants to probe it; granted where nobody has called or probed it for `idle_ms`."""

    idle_ms: int


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe ended."""

    ok: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Nothing happened."""


Event = Report | Cool | Admit | Lease | Probed | Look


@dataclass(frozen=True, slots=True)
class View:
    """Of one breaker, after the event.

    Attributes:
        wait_s: for how long the model must not be called.
        granted: the answer to `Admit` and `Lease`.
        probes: failed probes in a row.
    """

    phase: Phase = Phase.CLOSED
    wait_s: float = 0.0
    granted: bool = True
    probes: int = 0


class BreakerStore(Protocol):
    """Where states lie."""

    async def move(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        """Let these events happen, in this order; the views after each. Raises `Unavailable`."""
        ...


class LocalBreakers:
    """States of this process alone."""

    def __init__(self, rules: Rules, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: seconds of any clock that does not jump."""
        self._rules = rules
        self._now = now
        self._states: dict[UUID, Breaker] = {}

    def happen(self, model_id: UUID, event: Event, now_ms: int | None = None) -> View:
        """`move`, of one event and at once; `now_ms` replaces the clock."""
        now = int(self._now() * 1000) if now_ms is None else now_ms
        before = self._states.get(model_id, Breaker())
        breaker, granted = self._moved(before, event, now)
        if breaker != before:
            self._states[model_id] = breaker
        return View(breaker.phase, wait_ms(breaker, now) / 1000, granted, breaker.probes)

    async def move(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        """See `BreakerStore`; never raises."""
        return [self.happen(model_id, event) for model_id, event in events]

    def _moved(self, breaker: Breaker, event: Event, now: int) -> tuple[Breaker, bool]:
        match event:
            case Report(ok, failed):
                return reported(breaker, ok, failed, now, self._rules), True
            case Cool(for_ms):
                return cooled(breaker, for_ms, now), True
            case Admit():
                return admitted(breaker, now, self._rules)
            case Lease(idle_ms):
                return leased(breaker, idle_ms, now)
            case Probed(ok):
                return probed(breaker, ok, now, self._rules), True
            case _:
                return breaker, True
