"""The small duties that run beside the worker: passing events on, sweeping objects, burying, counting."""

from voicehelper.errors import VoiceHelperError
from voicehelper.knowledge.ports import IndexQueue, ObjectTrash, Outbox
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.events import EventBus
from voicehelper.ports.objects import ObjectStore
from voicehelper.retrying import backoff, is_transient
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

RELAY_BATCH = 100
RELAY_POLL_S = 1.0
KEEP_EVENTS_S = 7 * 86400.0
TICK_S = 2.0
PRUNE_EVERY = 300


class OutboxRelay:
    """Publishes the outbox to the bus, at least once and in order; while the bus is down, events wait."""

    def __init__(self, outbox: Outbox, bus: EventBus, clock: Clock | None = None) -> None:
        self._outbox = outbox
        self._bus = bus
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                sent = await self._outbox.relay(self._bus.publish, RELAY_BATCH)
                failures = 0
                if sent < RELAY_BATCH:
                    await self._outbox.wait(RELAY_POLL_S)
            except (VoiceHelperError, OSError) as error:
                if failures == 0:
                    log.warning("outbox.relay_waits", error=str(error), transient=is_transient(error))
                await self._clock.sleep(backoff(failures))
                failures += 1


class Housekeeper:
    """Deletes objects that are due, fails versions that keep killing workers, tells the queue's length."""

    def __init__(
        self,
        *,
        queue: IndexQueue,
        trash: ObjectTrash,
        objects: ObjectStore,
        outbox: Outbox,
        max_attempts: int,
        clock: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._trash = trash
        self._objects = objects
        self._outbox = outbox
        self._max_attempts = max_attempts
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Until cancelled."""
        turn = 0
        while True:
            try:
                await self.tick(turn)
            except (VoiceHelperError, OSError) as error:
                log.warning("housekeeping.postponed", error=str(error), transient=is_transient(error))
            turn += 1
            await self._clock.sleep(TICK_S)

    async def tick(self, turn: int) -> None:
        """One round. Raises what the stores raise."""
        buried = await self._queue.bury(self._max_attempts)
        if buried:
            metrics.DOCUMENTS.labels("failed").inc(buried)
            log.warning("documents.buried", documents=buried)
        metrics.QUEUE_LENGTH.labels("indexing").set(await self._queue.length())
        await self._trash.sweep(self._objects.delete)
        if turn % PRUNE_EVERY == 0:
            await self._outbox.prune(KEEP_EVENTS_S)
