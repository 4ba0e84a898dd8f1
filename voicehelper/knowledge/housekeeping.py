"""The small duties that run beside the worker: sweeping objects, burying, counting."""

from voicehelper.errors import VoiceHelperError
from voicehelper.knowledge.ports import IndexQueue, ObjectTrash
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.objects import ObjectStore
from voicehelper.retrying import is_transient
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

TICK_S = 2.0


class Housekeeper:
    """Deletes objects that are due, fails versions that keep killing workers, tells the queue's length."""

    def __init__(
        self,
        *,
        queue: IndexQueue,
        trash: ObjectTrash,
        objects: ObjectStore,
        max_attempts: int,
        clock: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._trash = trash
        self._objects = objects
        self._max_attempts = max_attempts
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
            except (VoiceHelperError, OSError) as error:
                log.warning("housekeeping.postponed", error=str(error), transient=is_transient(error))
            await self._clock.sleep(TICK_S)

    async def tick(self) -> None:
        """One round. Raises what the stores raise."""
        buried = await self._queue.bury(self._max_attempts)
        if buried:
            metrics.DOCUMENTS.labels("failed").inc(buried)
            log.warning("documents.buried", documents=buried)
        metrics.QUEUE_LENGTH.labels("indexing").set(await self._queue.length())
        await self._trash.sweep(self._objects.delete)
