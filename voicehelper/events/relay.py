"""From the outbox to the bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from voicehelper.config import EventSettings
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.events import EventBus
from voicehelper.retrying import backoff, is_transient
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

BATCH = 200
POLL_S = 1.0
LOOK_EVERY_S = 10.0
PRUNE_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one turn of the relay did: events published, and events found that the bus had lost."""

    published: int
    lost: int = 0


class Outbox(Protocol):
    """Events written in the transactions that caused them. Every method raises `Unavailable`."""

    async def relay(self, bus: EventBus, limit: int, recover_s: float) -> Relayed:
        """Publish the oldest unpublished events, all with one mark, and note that they are.

        Where the bus knows no longer of the last mark, what was published later than the mark it knows, but not more
        than `recover_s` seconds ago, counts as unpublished again. One relay works at a time, the others do nothing.
        What the bus raises leaves everything as it was.
        """
        ...

    async def republish(self, since: datetime) -> int:
        """Have everything that happened since then published again; returns how many events."""
        ...

    async def waiting_s(self) -> float:
        """Age of the oldest unpublished event in seconds, 0 where there is none."""
        ...

    async def prune(self, keep_s: float) -> None:
        """Forget events published more than `keep_s` seconds ago."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when events may have arrived, at the latest after `timeout` seconds."""
        ...


class Prunable(Protocol):
    """Something else that grows with events."""

    async def prune(self, keep_s: float) -> None:
        """Forget what can no longer matter where events can be published again for `keep_s` seconds."""
        ...


class OutboxRelay:
    """Publishes the outbox, at least once and in order; while the bus is down, events wait, and what the bus lost in a
    restart is published again. Any number of processes may run one."""

    def __init__(
        self,
        outbox: Outbox,
        bus: EventBus,
        settings: EventSettings,
        *,
        also_prune: Sequence[Prunable] = (),
        clock: Clock | None = None,
    ) -> None:
        self._outbox = outbox
        self._also_prune = also_prune
        self._bus = bus
        self._settings = settings
        self._clock = clock or SystemClock()
        self._looked_at = self._pruned_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                await self.turn()
                failures = 0
            except (VoiceHelperError, OSError) as error:
                if failures == 0:
                    log.warning("outbox.relay_waits", error=str(error), transient=is_transient(error))
                await self._clock.sleep(backoff(failures))
                failures += 1

    async def turn(self) -> None:
        """One batch, then a wait unless there is more. Raises what outbox and bus raise."""
        now = self._clock.now()
        if now - self._looked_at >= LOOK_EVERY_S:
            await self._look_after()
            self._looked_at = now
        if now - self._pruned_at >= PRUNE_EVERY_S:
            for grown in (self._outbox, *self._also_prune):
                await grown.prune(self._settings.keep_s)
            self._pruned_at = now
        done = await self._outbox.relay(self._bus, BATCH, self._settings.republish_s)
        if done.lost:
            log.warning("outbox.bus_lost_events", events=done.lost)
        if done.published < BATCH:
            await self._outbox.wait(POLL_S)

    async def _look_after(self) -> None:
        metrics.OUTBOX_LAG_SECONDS.set(await self._outbox.waiting_s())
        await self._bus.tidy()
