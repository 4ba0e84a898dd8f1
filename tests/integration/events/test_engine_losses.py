"""kill -9 of consumers and of Valkey, with its append-only file and without: nothing is lost, keys stay in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.events.catalogue import ConversationMessageSent
from voicehelper.events.relay import OutboxRelay
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import SYSTEM, transaction
from voicehelper.stores.postgres.outbox import PostgresOutbox, add_events
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups

TENANT, USERS = new_id(), [new_id() for _ in range(8)]
CONSUMER = """
import asyncio, os, sys
from voicehelper.config import EventSettings
from voicehelper.events.letters import FakeDeadLetters
from voicehelper.events.retry import RetryPolicy
from voicehelper.events.source import ChannelSource
from voicehelper.stores.redis_groups import RedisChannel
from voicehelper.stores.redis_streams import connect_streams

async def handle(event):
    print("begun", event.payload["n"], flush=True)
    if event.payload["n"] == 5:
        os.kill(os.getpid(), 9)
    print("done", event.payload["n"], flush=True)

async def main(url):
    settings = EventSettings(lease_s=1.0, max_attempts=3, partitions=4)
    client = connect_streams(url)
    source = ChannelSource(lambda group: RedisChannel(client, group, settings), FakeDeadLetters(), RetryPolicy())
    await source.consume("g", handle)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_consumer_killed_within_its_handler_loses_nothing(bus: Any, tools: Any, redis_url: str) -> None:
    """The event that killed it gets its three attempts, then is buried; every other one is handled once."""
    await bus.bus.publish(tools.some(40, keys=8))
    lines: list[str] = []
    for _ in range(4):  # the first death leaves no trace of the attempt
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CONSUMER, redis_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        output, _ = await process.communicate()
        assert process.returncode == -signal.SIGKILL
        lines += output.decode().splitlines()
    collector = tools.Collector()
    async with bus.consuming(collector):
        await tools.until(lambda: bool(bus.letters.buried))
        await tools.until(lambda: _finished(bus))
    assert [(letter[1].payload["n"], letter[2]) for letter in bus.letters.buried] == [(5, 3)]
    assert lines.count("begun 5") == 4
    done = {int(line.split()[1]) for line in lines if line.startswith("done")} | set(collector.numbers)
    assert done == set(range(40)) - {5}
    by_key = [int(line.split()[1]) for line in lines if line.startswith("done")] + collector.numbers
    assert [n for n in dict.fromkeys(by_key) if n % 8 == 5] == [13, 21, 29, 37]


@pytest.fixture
def own_valkey(engine_folder: Path) -> Iterator[Callable[..., "Valkey"]]:
    started: list[Valkey] = []

    def start(durable: bool) -> Valkey:
        name = f"events-{len(started)}-{durable}"
        folder = engine_folder / name
        valkey = Valkey(EmbeddedValkey(folder, random_port(), "secret", engine_folder / f"{name}.log", durable=durable))
        started.append(valkey)
        return valkey

    yield start
    for item in started:
        stop(item.process)


class Valkey:
    def __init__(self, engine: EmbeddedValkey) -> None:
        self.engine = engine
        engine.prepare()
        self.process = engine.start()

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.engine.check()
                    return
                except EngineError:
                    await asyncio.sleep(0.05)

    async def kill_and_restart(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.engine.prepare)
        self.process = self.engine.start()


@pytest.mark.parametrize("durable", [True, False], ids=["append-only file", "everything lost"])
@pytest.mark.timeout(120)
async def test_valkey_killed_in_the_middle(
    own_valkey: Callable[..., Valkey], pool: Pool, tools: Any, durable: bool
) -> None:
    """Changes go on meanwhile: each of them reaches the consumers, those of one user in order."""
    valkey = own_valkey(durable)
    await valkey.ready()
    house = tools.Bus(valkey.engine.url())
    wakeups = Wakeups(pool)
    relay = OutboxRelay(PostgresOutbox(pool, wakeups), house.bus, tools.settings)
    left, right = tools.Collector(0.001), tools.Collector(0.001)
    relaying = asyncio.create_task(relay.run())
    async with house.consuming(_numbered(left)), house.consuming(_numbered(right)):
        writing = asyncio.create_task(_write(pool, 600))
        for _ in range(2):
            await asyncio.sleep(0.7)
            await valkey.kill_and_restart()
        await writing
        await tools.until(lambda: len({*left.numbers, *right.numbers}) == 600, 60)
        await tools.until(lambda: _finished(house), 30)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    handled = sorted([*left.times, *right.times])
    for number in range(len(USERS)):
        mine = [n for _, n in handled if n % len(USERS) == number]
        assert list(dict.fromkeys(mine)) == sorted(set(mine))
    assert house.letters.buried == []
    await wakeups.close()
    await house.client.aclose()


async def _write(pool: Pool, count: int) -> None:
    for start in range(0, count, 10):
        async with transaction(pool, SYSTEM) as conn:
            await add_events(conn, [(TENANT, _sent(n)) for n in range(start, start + 10)])
        await asyncio.sleep(0.03)


def _sent(n: int) -> ConversationMessageSent:
    ids = {"conversation_id": new_id(), "message_id": new_id(), "answer_id": new_id()}
    return ConversationMessageSent(user_id=USERS[n % len(USERS)], seq=n + 1, **ids)


def _numbered(collector: Any) -> Any:
    """Has `collector` see `seq` as the number, and when."""
    collector.times = []

    async def handle(event: Any) -> None:
        event.payload["n"] = event.payload["seq"] - 1
        await collector(event)
        collector.times.append((asyncio.get_running_loop().time(), event.payload["n"]))

    return handle


async def _finished(house: Any) -> bool:
    return bool(await house.channel("g").lag() == 0)
