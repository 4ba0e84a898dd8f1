"""Consumers on a real Valkey, and what they have handled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from voicehelper.config import EventSettings
from voicehelper.events.channel import Channel
from voicehelper.events.letters import DeadLetters, FakeDeadLetters
from voicehelper.events.retry import RetryPolicy
from voicehelper.events.source import ChannelSource
from voicehelper.ids import new_id
from voicehelper.ports.events import Event, Handler
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import RedisEventBus, connect_streams

SETTINGS = EventSettings(lease_s=1.0, backoff_s=0.02, max_attempts=3, partitions=4)


def some(count: int, keys: int = 10, first: int = 0) -> list[Event]:
    """Numbered events; `n` rises within a key."""
    return [Event(new_id(), "thing.happened", new_id(), {"n": n}, 1, f"key {n % keys}") for n in range(first, count)]


class Collector:
    """A handler that remembers, and fails where the test says so."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.events: list[Event] = []
        self.failing: dict[int, Exception] = {}
        self.pause_s = pause_s
        self.held: asyncio.Event | None = None

    async def __call__(self, event: Event) -> None:
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(self.pause_s)
        if event.payload["n"] in self.failing:
            raise self.failing[event.payload["n"]]
        self.events.append(event)

    @property
    def numbers(self) -> list[int]:
        return [event.payload["n"] for event in self.events]


def first_seen(events: Sequence[Event]) -> dict[str, list[int]]:
    """For each key the numbers in the order in which they came for the first time."""
    seen: dict[str, list[int]] = {}
    for event in events:
        numbers = seen.setdefault(event.key, [])
        if event.payload["n"] not in numbers:
            numbers.append(event.payload["n"])
    return seen


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 15) -> None:
    async with asyncio.timeout(timeout):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.02)


class Bus:
    """A bus on one server, and any number of consumers."""

    def __init__(self, url: str, settings: EventSettings = SETTINGS) -> None:
        self.settings = settings
        self.client: Redis = connect_streams(url)
        self.bus = RedisEventBus(self.client, settings)
        self.letters: DeadLetters = FakeDeadLetters()  # type: ignore[assignment]

    def channel(self, group: str) -> Channel:
        return RedisChannel(self.client, group, self.settings)

    @asynccontextmanager
    async def consuming(self, handler: Handler, group: str = "g", types: Collection[str] = ()) -> AsyncIterator[Any]:
        policy = RetryPolicy(self.settings.max_attempts, self.settings.backoff_s, handler_s=20)
        source = ChannelSource(self.channel, self.letters, policy)
        task = asyncio.create_task(source.consume(group, handler, types))
        try:
            yield task
        finally:
            task.cancel()
            ends = await asyncio.gather(task, return_exceptions=True)
            assert not isinstance(ends[0], Exception), ends[0]


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    bus = Bus(redis_url)
    yield bus
    await bus.client.aclose()


class Tools:
    """What the tests of this folder share (test modules cannot import each other)."""

    settings = SETTINGS
    Bus = Bus
    Collector = Collector
    some = staticmethod(some)
    first_seen = staticmethod(first_seen)
    until = staticmethod(until)


@pytest.fixture
def tools() -> type[Tools]:
    return Tools
