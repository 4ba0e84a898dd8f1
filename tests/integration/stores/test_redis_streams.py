from typing import Any

import pytest
from redis.asyncio import Redis

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.redis_streams import STREAM, RedisEventBus, connect_events


async def test_events_lie_on_the_stream_in_order(redis_url: str) -> None:
    bus = connect_events(redis_url)
    events = [Event(new_id(), "document.indexed", new_id(), {"n": n, "名": "值"}) for n in range(3)]
    for event in events:
        await bus.publish(event)
    async with Redis.from_url(redis_url, decode_responses=True, protocol=3) as client:
        entries: Any = await client.xrange(STREAM)
    assert [fields["id"] for _, fields in entries] == [str(event.id) for event in events]
    assert entries[0][1]["type"] == "document.indexed"
    assert entries[2][1]["payload"] == '{"n":2,"名":"值"}'
    await bus.close()


async def test_the_stream_is_trimmed(redis_url: str) -> None:
    client = Redis.from_url(redis_url, protocol=3)
    bus = RedisEventBus(client, max_length=100)
    for n in range(500):
        await bus.publish(Event(new_id(), "x", new_id(), {"n": n}))
    assert 100 <= await client.xlen(STREAM) < 500
    await bus.close()


async def test_a_bus_that_is_away_is_unavailable() -> None:
    bus = connect_events("redis://127.0.0.1:9")
    with pytest.raises(Unavailable):
        await bus.publish(Event(new_id(), "x", new_id()))
    await bus.close()
