"""One process's part of a consumer group.

Deliveries of one key go through a lane, one after the other. A lane that waits before another attempt holds up nothing
but its own key (and its partition, once `WINDOW` deliveries of it are open). After the last attempt the event becomes a
dead letter, and the lane goes on.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from voicehelper.context import RequestContext, use_context
from voicehelper.errors import VoiceHelperError
from voicehelper.events.channel import Channel, Delivery
from voicehelper.events.letters import DeadLetters
from voicehelper.events.retry import Again, Bury, HandlerTimeout, RetryPolicy, after_failure, describe
from voicehelper.events.slots import Slots
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.events import Handler
from voicehelper.retrying import backoff, until_available
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

WINDOW = 64
"""Deliveries of one partition fetched and not yet finished."""

AT_ONCE = 8
"""Handlers running at the same time."""

POLL_S = 1.0
REPLAY_POLL_S = 5.0
GRACE_S = 5.0
"""What handlers that are running get to end when the consumer is stopped."""


class GroupConsumer:
    """Runs until cancelled, then lets running handlers end and gives its partitions back."""

    def __init__(
        self,
        group: str,
        channel: Channel,
        handler: Handler,
        letters: DeadLetters,
        policy: RetryPolicy,
        *,
        types: Collection[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self._group = group
        self._channel = channel
        self._handler = handler
        self._letters = letters
        self._policy = policy
        self._types = frozenset(types)
        self._clock = clock or SystemClock()
        self._lanes: dict[str, deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._open: Counter[int] = Counter()
        self._replaying: set[str] = set()
        self._progress = asyncio.Event()
        self._slots = Slots(AT_ONCE)
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled. Raises only where this class itself is at fault."""
        loops = [asyncio.create_task(loop) for loop in (self._reading(), self._replays())]
        try:
            await asyncio.gather(*loops)
        finally:
            self._stopping = True
            await _cancel(loops)
            await self._drain()
            with suppress(VoiceHelperError):  # then the leases lapse by themselves
                await self._channel.close()

    async def _reading(self) -> None:
        failures = 0
        while True:
            try:
                for delivery in await self._fetch():
                    self._admit(delivery)
                failures = 0
            except (VoiceHelperError, OSError) as error:
                if failures == 0:
                    log.warning("events.bus_away", group=self._group, error=str(error))
                await self._clock.sleep(backoff(failures))
                failures += 1

    async def _fetch(self) -> list[Delivery]:
        """What is wanted of the next deliveries; the rest is finished at once."""
        full = [partition for partition, open_ in self._open.items() if open_ >= WINDOW]
        self._progress.clear()
        fetched = await self._channel.fetch(WINDOW // 2, full, 0.0 if full else POLL_S)
        if full and not fetched:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._progress.wait(), POLL_S)
        wanted = [item for item in fetched if not self._types or item.event.type in self._types]
        if len(wanted) < len(fetched):
            await self._finish([item for item in fetched if item not in wanted])
        return wanted

    def _admit(self, delivery: Delivery) -> None:
        """Put it into the lane of its key."""
        self._open[delivery.partition] += 1
        lane = self._lanes.setdefault(delivery.event.key, deque())
        lane.append(delivery)
        if len(lane) == 1:
            task = asyncio.create_task(self._drive(delivery.event.key, lane))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("events.lane_broke", group=self._group, error=repr(task.exception()))

    async def _drive(self, key: str, lane: deque[Delivery]) -> None:
        try:
            while lane and not self._stopping:
                await self._deliver(lane[0])
                self._close(lane.popleft())
        finally:
            for delivery in lane:
                self._channel.drop(delivery)
                self._close(delivery)
            del self._lanes[key]

    def _close(self, delivery: Delivery) -> None:
        self._open[delivery.partition] -= 1
        self._replaying.discard(delivery.place)
        self._progress.set()

    async def _deliver(self, delivery: Delivery) -> None:
        """Until it is handled, buried, or belongs to somebody else."""
        attempt, failing_since = delivery.attempts, None
        while not self._stopping and self._channel.owns(delivery):
            attempt += 1
            if attempt > self._policy.max_attempts:
                return await self._bury(delivery, attempt - 1, "Whoever handled it died each time")
            failure = await self._attempt(delivery, attempt)
            if failure is None:
                return None
            now = self._clock.now()
            failing_since = now if failing_since is None else failing_since
            step = after_failure(failure, attempt, now - failing_since, self._policy)
            if isinstance(step, Bury):
                return await self._bury(delivery, attempt, step.reason)
            if self._stopping:
                break
            await self._pause(delivery, attempt, step, failure)
            attempt -= not step.counted
        self._channel.drop(delivery)
        return None

    async def _attempt(self, delivery: Delivery, attempt: int) -> Exception | None:
        """Handle it and say so; returns how it failed. Once begun it is not interrupted but by the end of the grace.

        What was begun before by somebody who died is tried alone: if it kills again, nothing else dies with it.
        """
        async with self._slots.take(alone=delivery.again and delivery.attempts > 0):
            task = asyncio.current_task()
            assert task is not None
            self._busy.add(task)
            try:
                if attempt > 1 or delivery.again:
                    await self._until_available(lambda: self._channel.begin(delivery, attempt))
                failure = await self._handle(delivery)
                if failure is None:
                    await self._finish([delivery])
                    metrics.EVENTS.labels(self._group, "handled").inc()
                return failure
            finally:
                self._busy.discard(task)

    async def _handle(self, delivery: Delivery) -> Exception | None:
        event = delivery.event
        with use_context(RequestContext(tenant_id=str(event.tenant_id))):
            try:
                async with asyncio.timeout(self._policy.handler_s) as limit:
                    await self._handler(event)
            except TimeoutError as error:
                return HandlerTimeout() if limit.expired() else error
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is the end of this attempt, not ours
                return error
        return None

    async def _pause(self, delivery: Delivery, attempt: int, step: Again, failure: Exception) -> None:
        if step.counted:
            metrics.EVENTS.labels(self._group, "retried").inc()
            log.warning(
                "event.retried",
                group=self._group,
                event_id=str(delivery.event.id),
                type=delivery.event.type,
                attempt=attempt,
                error=describe(failure),
            )
        await self._clock.sleep(step.wait_s)

    async def _bury(self, delivery: Delivery, attempts: int, reason: str) -> None:
        event = delivery.event
        await self._until_available(lambda: self._letters.bury(self._group, event, attempts, reason))
        metrics.EVENTS.labels(self._group, "buried").inc()
        log.error(
            "event.buried", group=self._group, event_id=str(event.id), type=event.type, attempts=attempts, error=reason
        )
        if delivery.letter_id is None:
            await self._finish([delivery])

    async def _finish(self, deliveries: Sequence[Delivery]) -> None:
        letters = [item.letter_id for item in deliveries if item.letter_id is not None]
        for letter_id in letters:
            await self._until_available(partial(self._letters.replayed, letter_id))
        if len(letters) < len(deliveries):
            await self._until_available(lambda: self._channel.finish(deliveries))

    async def _until_available(self, call: Callable[[], Awaitable[None]]) -> None:
        await until_available(f"events of {self._group}", call, self._clock)

    async def _replays(self) -> None:
        """Dead letters that are asked for again, of the keys that are ours."""
        while True:
            try:
                for delivery in await self._letters.requested(self._group, WINDOW):
                    if delivery.place not in self._replaying and self._channel.owns(delivery):
                        self._replaying.add(delivery.place)
                        self._admit(delivery)
                await self._letters.wait(REPLAY_POLL_S)
            except (VoiceHelperError, OSError):
                await self._clock.sleep(REPLAY_POLL_S)

    async def _drain(self) -> None:
        """Handlers that run may end; lanes that only wait are cut off."""
        await _cancel([task for task in self._tasks if task not in self._busy])
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_S)
        await _cancel(list(self._tasks))


async def _cancel(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
