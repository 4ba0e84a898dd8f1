"""The consumer on a channel in memory; waits move a fake clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from voicehelper.context import current_context
from voicehelper.errors import InvalidInput, Unavailable
from voicehelper.events.channel import Delivery, FakeChannel
from voicehelper.events.consumer import WINDOW, GroupConsumer
from voicehelper.events.fact import UnreadableEvent
from voicehelper.events.letters import FakeDeadLetters
from voicehelper.events.retry import RetryPolicy
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock
from voicehelper.ports.events import Event

POLICY = RetryPolicy(max_attempts=3, backoff_s=1.0, outage_s=60.0, handler_s=30.0)


def event(n: int, key: str = "k", type_: str = "thing.happened") -> Event:
    return Event(new_id(), type_, new_id(), {"n": n}, 1, key)


def delivery(n: int, key: str = "k", partition: int = 0, **more: Any) -> Delivery:
    return Delivery(event(n, key, more.pop("type_", "thing.happened")), partition, str(n), **more)


class Handling:
    """A handler that does what the test has planned for each event, and remembers."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.plan: dict[int, list[Exception | asyncio.Event]] = {}
        self.running = 0
        self.most = 0
        self.company: dict[int, int] = {}

    async def __call__(self, event: Event) -> None:
        number = event.payload["n"]
        self.calls.append(number)
        self.running += 1
        self.most = max(self.most, self.running)
        self.company[number] = self.running
        try:
            await asyncio.sleep(0)
            steps = self.plan.get(number, [])
            step = steps.pop(0) if steps else None
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif step is not None:
                raise step
        finally:
            self.running -= 1


class House:
    def __init__(self) -> None:
        self.channel, self.letters, self.clock, self.handling = (
            FakeChannel(),
            FakeDeadLetters(),
            FakeClock(),
            Handling(),
        )

    @asynccontextmanager
    async def running(self, types: tuple[str, ...] = ()) -> AsyncIterator[None]:
        consumer = GroupConsumer(
            "group", self.channel, self.handling, self.letters, POLICY, types=types, clock=self.clock
        )
        task = asyncio.create_task(consumer.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - nothing to wait on in a fake
                await asyncio.sleep(0)

    @property
    def finished(self) -> list[int]:
        return [item.event.payload["n"] for item in self.channel.finished]


@pytest.fixture
def house() -> House:
    return House()


async def test_events_of_one_key_one_after_the_other_others_side_by_side(house: House) -> None:
    house.channel.push(*(delivery(n, key=f"k{n % 3}") for n in range(12)))
    async with house.running():
        await house.until(lambda: len(house.finished) == 12)
    for key in range(3):
        assert [n for n in house.handling.calls if n % 3 == key] == list(range(key, 12, 3))
    assert house.handling.most == 3


async def test_a_failure_is_tried_again_later_and_later_and_holds_up_its_key_alone(house: House) -> None:
    house.handling.plan[1] = [ValueError(), ValueError()]
    house.channel.push(delivery(1), delivery(2), delivery(3, key="other"))
    begun_at = house.clock.now()
    async with house.running():
        await house.until(lambda: len(house.finished) == 3)
    assert [n for n in house.handling.calls if n != 3] == [1, 1, 1, 2]
    assert 2.6 < house.clock.now() - begun_at < 3.5  # 1 s, then 2 s, each spread by a tenth
    assert house.channel.begun == [("1", 2), ("1", 3)]
    assert house.letters.buried == []


async def test_after_the_last_attempt_it_is_a_dead_letter_and_the_next_one_comes(house: House) -> None:
    house.handling.plan[1] = [InvalidInput("bad"), ValueError("王小明"), ValueError("13800138000")]
    house.channel.push(delivery(1), delivery(2))
    async with house.running():
        await house.until(lambda: len(house.finished) == 2)
    ((consumer, buried, attempts, error),) = house.letters.buried
    assert (consumer, buried.payload["n"], attempts) == ("group", 1, 3)
    assert error.startswith("ValueError")
    assert "138" not in error
    assert house.handling.calls == [1, 1, 1, 2]


async def test_an_engine_that_is_away_counts_as_no_attempt_until_it_was_away_too_long(house: House) -> None:
    house.handling.plan[1] = [Unavailable("gone")] * 10
    house.handling.plan[2] = [Unavailable("gone")] * 1000
    house.channel.push(delivery(1))
    async with house.running():
        await house.until(lambda: house.finished == [1])
        assert house.letters.buried == []
        began = house.clock.now()
        house.channel.push(delivery(2))
        await house.until(lambda: house.finished == [1, 2])
    assert [(letter[1].payload["n"], letter[3]) for letter in house.letters.buried] == [(2, "Unavailable: gone")]
    assert 60 <= house.clock.now() - began < 70


async def test_what_nobody_can_read_is_buried_at_once(house: House) -> None:
    house.handling.plan[1] = [UnreadableEvent("Unknown event")]
    house.channel.push(delivery(1))
    async with house.running():
        await house.until(lambda: house.finished == [1])
    assert house.handling.calls == [1]
    assert len(house.letters.buried) == 1


async def test_an_event_that_kills_its_handlers_is_buried_without_being_tried_once_more(house: House) -> None:
    house.channel.push(delivery(1, attempts=3, again=True), delivery(2, attempts=1, again=True))
    async with house.running():
        await house.until(lambda: len(house.finished) == 2)
    assert house.handling.calls == [2]
    assert house.channel.begun == [("2", 2)]
    assert house.letters.buried[0][2:] == (3, "Whoever handled it died each time")


async def test_a_suspect_is_tried_alone(house: House) -> None:
    """Whatever dies with it would be suspected in turn."""
    gate = asyncio.Event()
    house.handling.plan[1] = [gate]
    house.handling.plan[2] = [gate]
    house.channel.push(*(delivery(n, key=f"k{n}", attempts=int(n < 3), again=True) for n in range(1, 20)))
    async with house.running():
        await house.until(lambda: house.handling.running == 1)
        await asyncio.sleep(0.03)
        assert house.handling.calls == [1]
        gate.set()
        await house.until(lambda: len(house.finished) == 19)
    assert house.handling.company[1] == house.handling.company[2] == 1
    assert house.handling.most > 1


async def test_other_types_are_finished_unseen(house: House) -> None:
    house.channel.push(delivery(1, type_="other"), delivery(2), delivery(3, type_="other"))
    async with house.running(("thing.happened",)):
        await house.until(lambda: len(house.finished) == 3)
    assert house.handling.calls == [2]


async def test_a_stuck_key_fills_its_own_partition_only(house: House) -> None:
    gate = asyncio.Event()
    house.handling.plan[0] = [gate]
    stuck = [delivery(n, key="stuck") for n in range(3 * WINDOW)]
    house.channel.push(*stuck)
    async with house.running():
        await house.until(lambda: len(house.channel.waiting) <= 3 * WINDOW - WINDOW)
        house.channel.push(*(delivery(1000 + n, key=f"f{n}", partition=1) for n in range(20)))
        await house.until(lambda: len(house.finished) == 20)
        assert len(house.channel.waiting) >= WINDOW
        gate.set()
        await house.until(lambda: len(house.finished) == 20 + 3 * WINDOW)
    assert [n for n in house.handling.calls if n < 1000] == list(range(3 * WINDOW))


async def test_handlers_that_run_may_end_before_the_consumer_stops(house: House) -> None:
    gate = asyncio.Event()
    house.handling.plan[1] = [gate]
    house.channel.push(delivery(1), delivery(2))
    async with house.running():
        await house.until(lambda: house.handling.running == 1)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert house.finished == [1]
    assert house.handling.calls == [1]
    assert [item.event.payload["n"] for item in house.channel.dropped] == [2]
    assert house.channel.closed


async def test_what_has_got_another_owner_is_left_alone(house: House) -> None:
    gate = asyncio.Event()
    house.handling.plan[1] = [gate]
    house.channel.push(delivery(1), delivery(2))
    async with house.running():
        await house.until(lambda: house.handling.running == 1)
        house.channel.lost.add(0)
        gate.set()
        await house.until(lambda: len(house.channel.dropped) == 1)
    assert house.finished == [1]
    assert house.handling.calls == [1]


async def test_a_replay_waits_its_turn_behind_its_key_and_is_ticked_off(house: House) -> None:
    gate, letter_id = asyncio.Event(), new_id()
    house.handling.plan[1] = [gate]
    house.channel.push(delivery(1))
    async with house.running():
        await house.until(lambda: house.handling.running == 1)
        house.letters.ask(letter_id, event(7))
        await asyncio.sleep(0.03)
        assert house.handling.calls == [1]
        gate.set()
        await house.until(lambda: house.letters.done == [letter_id])
    assert house.handling.calls == [1, 7]
    assert house.finished == [1]


async def test_a_replay_in_vain_is_buried_again(house: House) -> None:
    house.handling.plan[7] = [ValueError()] * 3
    async with house.running():
        house.letters.ask(new_id(), event(7))
        await house.until(lambda: len(house.letters.buried) == 1)
    assert house.handling.calls == [7, 7, 7]
    assert house.finished == house.letters.done == []


async def test_a_bus_and_letters_that_are_away_are_waited_for(house: House) -> None:
    _fail_twice(house.channel, "fetch")
    _fail_twice(house.channel, "finish")
    _fail_twice(house.letters, "bury")
    house.handling.plan[1] = [ValueError()] * 3
    house.channel.push(delivery(1), delivery(2))
    async with house.running():
        await house.until(lambda: len(house.finished) == 2)
    assert len(house.letters.buried) == 1
    assert house.handling.calls == [1, 1, 1, 2]


async def test_a_handler_runs_for_the_events_tenant_and_not_for_ever(house: House) -> None:
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(current_context().tenant_id)
        await asyncio.sleep(3600)

    policy = RetryPolicy(max_attempts=1, handler_s=0.01)
    item = delivery(1)
    house.channel.push(item)
    consumer = GroupConsumer("group", house.channel, handle, house.letters, policy, clock=house.clock)
    task = asyncio.create_task(consumer.run())
    await house.until(lambda: house.finished == [1])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen == [str(item.event.tenant_id)]
    assert house.letters.buried[0][3].startswith("HandlerTimeout")


def _fail_twice(target: Any, method: str) -> None:
    original: Callable[..., Awaitable[Any]] = getattr(target, method)
    failures = [Unavailable(), Unavailable()]

    async def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await original(*arguments)

    setattr(target, method, failing)
