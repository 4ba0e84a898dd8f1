"""Breakers of all replicas, as this one knows them; and its own, while Redis is away."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.breaker import Phase
from voicehelper.models.breaker_events import Admit, BreakerStore, Cool, Event, LocalBreakers, Look, Report, View
from voicehelper.telemetry import get_logger
from voicehelper.telemetry.metrics import FALLBACKS, MODEL_STATES

log = get_logger(__name__)

_BATCH_S: Final = 0.05  # failures of so long go together
_POLL_S: Final = 1.0
_UNUSED_S: Final = 600.0  # a model that nobody asked for is no longer followed


class Changes(Protocol):
    """Tells that some breaker changed, somewhere."""

    async def follow(self, told: Callable[[], None]) -> None:
        """Call `told` at every change, until cancelled."""
        ...


@dataclass(slots=True)
class _Known:
    phase: Phase = Phase.CLOSED
    until: float = 0.0
    cool: float = 0.0
    asked: float = 0.0
    ok: int = 0
    failed: int = 0


class SharedBreakers:
    """`Breakers` of this replica.

    What happens is gathered and sent off the path of requests: failures within 50 ms, the rest each second; what all
    replicas saw comes back with it, and at once when it is told of a change. While the store is away, the same rules
    go on with what this replica saw itself.

    Args:
        store: of all replicas.
        local: this replica's own.
        changes: tells of changes before the next look; None to just look each second.
        now: seconds of a clock that does not jump.
    """

    def __init__(
        self,
        store: BreakerStore,
        local: LocalBreakers,
        changes: Changes | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._local = local
        self._changes = changes
        self._now = now
        self._known: dict[UUID, _Known] = {}
        self._cool: list[tuple[UUID, Event]] = []
        self._wake = asyncio.Event()
        self.away = False

    def open_for(self, model_id: UUID) -> float:
        """See `Breakers`."""
        known = self._known.get(model_id)
        if known is None:
            known = self._known[model_id] = _Known()
        now = known.asked = self._now()
        until = max(known.until, known.cool)
        return until - now if until > now else 0.0

    async def admit(self, model_id: UUID) -> bool:
        """See `Breakers`."""
        known = self._known.get(model_id)
        if known is None or known.phase is Phase.CLOSED:
            return True
        if self.open_for(model_id) > 0:
            return False
        (view,) = await self.happen([(model_id, Admit())])
        return view.granted

    def report(self, model_id: UUID, ok: bool) -> None:
        """See `Breakers`."""
        known = self._known.get(model_id)
        if known is None:
            known = self._known[model_id] = _Known(asked=self._now())
        if ok:
            known.ok += 1
        else:
            known.failed += 1
        if not ok or known.phase is not Phase.CLOSED:
            self._wake.set()

    def cool(self, model_id: UUID, seconds: float) -> None:
        """See `Breakers`. Here it holds at once."""
        known = self._known.setdefault(model_id, _Known(asked=self._now()))
        known.cool = max(known.cool, self._now() + seconds)
        self._cool.append((model_id, Cool(int(seconds * 1000))))
        self._wake.set()

    def troubled(self) -> set[UUID]:
        """Models that are not simply well, as far as is known here."""
        now = self._now()
        return {model_id for model_id, known in self._known.items() if known.phase or known.until > now}

    async def run(self) -> None:
        """Keep in step with the others, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._changes is not None:
                tasks.create_task(self._changes.follow(self._wake.set))
            tasks.create_task(self._keep_in_step())

    async def _keep_in_step(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()
                await asyncio.sleep(_BATCH_S)
            except TimeoutError:
                pass
            self._wake.clear()
            await self.sync()

    async def sync(self) -> None:
        """Tell what happened here, and hear what happened elsewhere."""
        self._forget()
        events, self._cool = self._cool, []
        for model_id, known in self._known.items():
            happened = Report(known.ok, known.failed) if known.ok or known.failed else Look()
            known.ok = known.failed = 0
            events.append((model_id, happened))
        await self.happen(events)

    async def happen(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        """Let these happen, for all replicas where the store is there, in any case for this one."""
        own = await self._local.move(events)
        views: Sequence[View]
        try:
            views = await self._store.move(events)
        except Unavailable:
            self._lost()
            views = own
        else:
            if self.away:
                log.info("breakers.shared")
            self.away = False
        for (model_id, _), view in zip(events, views, strict=True):
            self._see(model_id, view)
        return views

    def _see(self, model_id: UUID, view: View) -> None:
        known = self._known.setdefault(model_id, _Known(asked=self._now()))
        if view.phase is not known.phase:
            log.info("breaker.changed", model_id=str(model_id), phase=view.phase.name.lower())
            MODEL_STATES.labels(view.phase.name.lower()).inc()
        now = self._now()
        until = now + view.wait_s if view.wait_s else 0.0
        if self.away and known.until > now and known.phase is not Phase.CLOSED:
            return  # what all had seen holds for its time, whatever this one has seen
        known.phase, known.until = view.phase, until

    def _lost(self) -> None:
        if not self.away:
            log.warning("breakers.alone")
        self.away = True
        FALLBACKS.labels("breakers").inc()

    def _forget(self) -> None:
        oldest = self._now() - _UNUSED_S
        for model_id in [model_id for model_id, known in self._known.items() if known.asked < oldest]:
            del self._known[model_id]
