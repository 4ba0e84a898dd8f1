from typing import Any

import pytest
from redis.asyncio import Redis

from voicehelper.config import EventSettings
from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import RedisEventBus, Streams, connect_streams, decode

SETTINGS = EventSettings(max_length=100)
NAMES = Streams(SETTINGS)


async def test_events_of_a_key_lie_on_one_stream_in_order(redis_url: str) -> None:
    bus = RedisEventBus(connect_streams(redis_url), SETTINGS)
    events = [Event(new_id(), "document.indexed", new_id(), {"n": n, "名": "值"}, 2, "key", 1.5) for n in range(3)]
    await bus.publish(events, mark=7)
    async with Redis.from_url(redis_url, protocol=3) as client:
        entries: Any = await client.xrange(NAMES.stream(NAMES.partition("key")))
    assert [decode(fields) for _, fields in entries] == events
    assert await bus.marked() == 7
    await bus.close()


async def test_keys_spread_over_the_streams() -> None:
    assert {NAMES.partition(str(new_id())) for _ in range(500)} == set(NAMES.partitions)


async def test_as_the_last_resort_a_stream_is_cut(redis_url: str) -> None:
    bus = RedisEventBus(connect_streams(redis_url), SETTINGS)
    await bus.publish([Event(new_id(), "x", new_id(), {"n": n}) for n in range(500)])
    async with Redis.from_url(redis_url, protocol=3) as client:
        assert 100 <= await client.xlen(NAMES.stream(NAMES.partition(""))) < 500
    await bus.close()


async def test_a_stream_is_trimmed_behind_its_slowest_group(redis_url: str) -> None:
    settings = EventSettings(partitions=1)
    client = connect_streams(redis_url)
    bus = RedisEventBus(client, settings)
    await bus.publish([Event(new_id(), "x", new_id(), {"n": n}) for n in range(1000)])
    quick, slow = RedisChannel(client, "quick", settings), RedisChannel(client, "slow", settings)
    stream = Streams(settings).stream(0)
    await quick.finish(await quick.fetch(1000, (), 0))
    some = await slow.fetch(500, (), 0)
    await slow.finish([delivery for delivery in some if delivery is not some[300]])
    await bus.tidy()
    assert 700 <= await client.xlen(stream) <= 800  # whole nodes of 100 entries go
    assert (await quick.lag(), await slow.lag()) == (0, 501)
    await slow.finish([some[300]])
    await slow.finish(await slow.fetch(1000, (), 0))
    await bus.tidy()
    assert await client.xlen(stream) <= 100
    await bus.close()


async def test_a_bus_that_is_away_is_unavailable() -> None:
    bus = RedisEventBus(connect_streams("redis://127.0.0.1:9"), SETTINGS)
    for call in (bus.publish([Event(new_id(), "x", new_id())]), bus.marked(), bus.tidy()):
        with pytest.raises(Unavailable):
            await call
    await bus.close()
