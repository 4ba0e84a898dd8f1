"""The relay against an outbox in memory, on a clock that the test owns."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.events.relay import BATCH, PRUNE_EVERY_S, OutboxRelay, Relayed
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock
from voicehelper.ports.events import Event, EventBus, FakeEventBus


class FakeOutbox:
    def __init__(self, events: int) -> None:
        self.unpublished = [Event(new_id(), "x", new_id(), {"n": n}) for n in range(events)]
        self.published: list[tuple[int, Event]] = []
        self.kept: list[float] = []
        self.waits = 0
        self.marks = 0

    async def relay(self, bus: EventBus, limit: int, recover_s: float) -> Relayed:
        mark = await bus.marked()
        lost = [] if mark is None else [event for number, event in self.published if number > mark]
        self.published = [item for item in self.published if item[1] not in lost]
        self.unpublished = lost + self.unpublished
        batch = self.unpublished[:limit]
        if batch:
            self.marks += 1
            await bus.publish(batch, self.marks)
            self.published += [(self.marks, event) for event in batch]
            del self.unpublished[:limit]
        return Relayed(len(batch), len(lost))

    async def republish(self, since: datetime) -> int:
        raise NotImplementedError

    async def waiting_s(self) -> float:
        return 0.0

    async def prune(self, keep_s: float) -> None:
        self.kept.append(keep_s)

    async def wait(self, timeout: float) -> None:
        self.waits += 1
        await asyncio.sleep(0)  # a relay that never lets go of the loop cannot be ended


async def test_batches_in_order_then_a_wait() -> None:
    outbox, bus = FakeOutbox(2 * BATCH + 1), FakeEventBus()
    relay = OutboxRelay(outbox, bus, EventSettings(), clock=FakeClock())
    for waits in (0, 0, 1):
        await relay.turn()
        assert outbox.waits == waits
    assert [event.payload["n"] for event in bus.events] == list(range(2 * BATCH + 1))


async def test_it_looks_after_the_bus_now_and_then_and_prunes_rarely() -> None:
    outbox, clock = FakeOutbox(0), FakeClock()
    also = FakeOutbox(0)
    relay = OutboxRelay(outbox, FakeEventBus(), EventSettings(keep_s=5.0), also_prune=(also,), clock=clock)
    await relay.turn()
    await relay.turn()
    assert outbox.kept == also.kept == [5.0]
    clock.time += PRUNE_EVERY_S
    await relay.turn()
    assert outbox.kept == also.kept == [5.0, 5.0]


async def test_what_the_bus_lost_is_published_again() -> None:
    outbox, bus, clock = FakeOutbox(BATCH + 10), FakeEventBus(), FakeClock()
    relay = OutboxRelay(outbox, bus, EventSettings(), clock=clock)
    await relay.turn()
    await relay.turn()
    bus.events.clear()
    bus.mark = 1  # the second batch is gone
    await relay.turn()
    assert [event.payload["n"] for event in bus.events] == list(range(BATCH, BATCH + 10))


async def test_after_failures_it_goes_on() -> None:
    outbox, bus, clock = FakeOutbox(3), FakeEventBus(), FakeClock()
    relay = OutboxRelay(outbox, bus, EventSettings(), clock=clock)
    await relay.turn()
    failures = [Unavailable(), Unavailable()]
    publish = bus.publish

    async def failing(events: Sequence[Event], mark: int = 0) -> None:
        if failures:
            bus.events.clear()
            bus.mark = 0
            raise failures.pop()
        await publish(events, mark)

    bus.publish = failing  # type: ignore[method-assign]
    outbox.unpublished = [Event(new_id(), "x", new_id(), {"n": 3})]
    task = asyncio.create_task(relay.run())
    async with asyncio.timeout(5):
        while len(bus.events) < 4:  # noqa: ASYNC110 - nothing to wait on in a fake
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [event.payload["n"] for event in bus.events] == [0, 1, 2, 3]
    assert clock.now() - 1_700_000_000.0 < 1.0
