"""Groups on a real Valkey: shared, in order, taken over, retried."""

import asyncio
from typing import Any

import pytest

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import Streams


async def test_two_consumers_share_a_group_and_keep_the_order_of_each_key(bus: Any, tools: Any) -> None:
    left, right = tools.Collector(), tools.Collector()
    events = tools.some(200, keys=40)
    async with bus.consuming(left), bus.consuming(right):
        await asyncio.sleep(1.2)  # both have their share
        await bus.bus.publish(events)
        await tools.until(lambda: len(left.events) + len(right.events) == 200)
    assert left.events
    assert right.events
    assert {event.id for event in left.events} | {event.id for event in right.events} == {e.id for e in events}
    assert not {event.key for event in left.events} & {event.key for event in right.events}
    for numbers in (tools.first_seen(left.events) | tools.first_seen(right.events)).values():
        assert numbers == sorted(numbers)
    assert await bus.channel("g").lag() == 0


async def test_every_group_gets_every_event_also_those_from_before_it(bus: Any, tools: Any) -> None:
    one, two = tools.Collector(), tools.Collector()
    await bus.bus.publish(tools.some(20))
    async with bus.consuming(one, "one"), bus.consuming(two, "two"):
        await tools.until(lambda: len(one.events) == len(two.events) == 20)


async def test_the_order_of_a_key_survives_retries(bus: Any, tools: Any) -> None:
    flaky = tools.Collector()
    failures = {3: 2, 4: 1}

    async def handle(event: Event) -> None:
        number = event.payload["n"]
        if failures.get(number, 0):
            failures[number] -= 1
            raise ValueError(number)
        await flaky(event)

    await bus.bus.publish(tools.some(10, keys=1))
    async with bus.consuming(handle):
        await tools.until(lambda: len(flaky.events) == 10)
    assert flaky.numbers == list(range(10))
    assert bus.letters.buried == []
    assert await bus.client.hlen(Streams(tools.settings).attempts("g")) == 0


async def test_a_poisonous_event_is_buried_and_the_next_one_comes(bus: Any, tools: Any) -> None:
    collector = tools.Collector()
    collector.failing[2] = ValueError("never")
    await bus.bus.publish(tools.some(5, keys=1))
    async with bus.consuming(collector):
        await tools.until(lambda: len(collector.events) == 4)
    assert collector.numbers == [0, 1, 3, 4]
    ((group, event, attempts, _error),) = bus.letters.buried
    assert (group, event.payload["n"], attempts) == ("g", 2, 3)
    assert await bus.channel("g").lag() == 0


async def test_what_a_vanished_consumer_left_is_taken_over_in_order(bus: Any, tools: Any) -> None:
    """It read, began the first event, and never spoke again."""
    gone = RedisChannel(bus.client, "g", tools.settings)
    events = tools.some(12, keys=2)
    await bus.bus.publish(events)
    fetched = await gone.fetch(100, (), 0)
    assert len(fetched) == 12
    await gone.begin(fetched[0], 1)
    await gone.finish(fetched[3:4])
    collector = tools.Collector()
    async with bus.consuming(collector):
        assert collector.events == []
        await tools.until(lambda: len(collector.events) == 11)
        assert not gone.owns(fetched[0])
    for numbers in tools.first_seen(collector.events).values():
        assert numbers == sorted(numbers)


async def test_an_event_that_killed_its_consumer_each_time_is_buried(bus: Any, tools: Any) -> None:
    await bus.bus.publish(tools.some(2, keys=1))
    for attempt in (1, 2, 3):
        gone = RedisChannel(bus.client, "g", tools.settings)
        first, second = await gone.fetch(100, (), 0)
        assert (first.attempts, first.again, second.attempts) == (attempt - 1, attempt > 1, 0)
        await gone.begin(first, attempt)
        await gone.close()
    collector = tools.Collector()
    async with bus.consuming(collector):
        await tools.until(lambda: collector.numbers == [1])
    assert [(letter[1].payload["n"], letter[2]) for letter in bus.letters.buried] == [(0, 3)]


async def test_a_consumer_that_stops_hands_over_at_once(bus: Any, tools: Any) -> None:
    first, second = tools.Collector(0.01), tools.Collector()
    await bus.bus.publish(tools.some(100, keys=8))
    async with bus.consuming(first):
        await tools.until(lambda: len(first.events) > 20)
    async with bus.consuming(second):
        await tools.until(lambda: len(first.events) + len(second.events) == 100, 5)
    assert sorted(first.numbers + second.numbers) == list(range(100))


async def test_a_joining_consumer_gets_partitions_without_repetitions(bus: Any, tools: Any) -> None:
    first, second = tools.Collector(0.002), tools.Collector(0.002)
    events = tools.some(600, keys=40)

    async def publish() -> None:
        for start in range(0, 600, 20):
            await bus.bus.publish(events[start : start + 20])
            await asyncio.sleep(0.08)

    async with bus.consuming(first):
        publishing = asyncio.create_task(publish())
        await tools.until(lambda: len(first.events) > 100)
        async with bus.consuming(second):
            await tools.until(lambda: len(first.events) + len(second.events) == 600)
        await publishing
    assert len(second.events) > 50
    assert sorted(first.numbers + second.numbers) == list(range(600))


async def test_an_owner_whose_lease_lapsed_begins_nothing_more(bus: Any, tools: Any) -> None:
    now = [100.0]
    paused = RedisChannel(bus.client, "g", tools.settings, now=lambda: now[0])
    await bus.bus.publish(tools.some(3, keys=1))
    (delivery, *_) = await paused.fetch(100, (), 0)
    assert paused.owns(delivery)
    now[0] += 1.1
    assert not paused.owns(delivery)
    collector = tools.Collector()
    async with bus.consuming(collector):
        await tools.until(lambda: len(collector.events) == 3)
        await bus.bus.publish(tools.some(6, keys=1, first=3))
        await tools.until(lambda: len(collector.events) == 6)
        assert await paused.fetch(100, (), 0) == []


async def test_a_group_that_redis_has_forgotten_begins_anew(bus: Any, tools: Any) -> None:
    collector = tools.Collector()
    async with bus.consuming(collector):
        await bus.bus.publish(tools.some(5))
        await tools.until(lambda: len(collector.events) == 5)
        await bus.client.flushall()
        await bus.bus.publish(tools.some(10, first=5))
        await tools.until(lambda: len(collector.events) == 10)


async def test_an_entry_that_is_no_event_is_passed_over(bus: Any, tools: Any) -> None:
    names = Streams(tools.settings)
    collector = tools.Collector()
    await bus.client.xadd(names.stream(names.partition("key 0")), {"id": "nonsense"})
    await bus.bus.publish(tools.some(1))
    async with bus.consuming(collector):
        await tools.until(lambda: len(collector.events) == 1)
    assert await bus.channel("g").lag() == 0


async def test_only_the_types_asked_for(bus: Any, tools: Any) -> None:
    collector = tools.Collector()
    other = [Event(new_id(), "other.happened", new_id(), {"n": 99}, 1, "key 0")]
    await bus.bus.publish([*other, *tools.some(3), *other])
    async with bus.consuming(collector, types=("thing.happened",)):
        await tools.until(lambda: len(collector.events) == 3)
        await tools.until(lambda: _nothing_left(bus))
    assert sorted(collector.numbers) == [0, 1, 2]


async def _nothing_left(bus: Any) -> bool:
    return bool(await bus.channel("g").lag() == 0)


async def test_a_server_that_is_away_is_unavailable(tools: Any) -> None:
    house = tools.Bus("redis://127.0.0.1:9")
    channel = house.channel("g")
    for call in (channel.fetch(1, (), 0), channel.lag(), channel.close()):
        with pytest.raises(Unavailable):
            await call
