"""kill -9 of whoever reserves and settles, of Valkey, of the relay; a Redis that lost all: the books agree, to the
micro-dollar, and no budget is passed."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.models_budgets.conftest import World
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.errors import Unavailable
from voicehelper.models.budgets import Limits, month_of
from voicehelper.models.ledger_relay import LedgerRelay, recount
from voicehelper.models.model import Caller
from voicehelper.models.reconcile import TenantCheck, check
from voicehelper.ports.clock import FakeClock
from voicehelper.stores.postgres.pool import Pool

CHILD = """
import asyncio, random, sys
from contextlib import suppress
from uuid import UUID
from voicehelper.errors import BudgetExceeded
from voicehelper.models.budget_view import LiveLimits
from voicehelper.models.ledger_relay import LedgerRelay
from voicehelper.models.model import Caller, ModelEntry, Price, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.budget_counters import RedisCounters
from voicehelper.stores.budgets import RedisBudgets
from voicehelper.stores.postgres.budgets import PostgresBudgetFeed
from voicehelper.stores.postgres.ledger import PostgresLedger
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis import connect_redis

async def call(budgets, caller, entry, dice):
    while True:
        with suppress(BudgetExceeded):
            held = await budgets.reserve(caller, entry, dice.randint(1, 300), dice.randint(1, 300))
            await asyncio.sleep(dice.random() * 0.003)
            cost = dice.randint(0, held.micros)
            budgets.settle(held, Settlement(ChatUsage(prompt_tokens=cost), cost, "answered", 1.0))
        await asyncio.sleep(0)

async def main(dsn, url, tenant, user, seed):
    dice = random.Random(int(seed))
    pool = await create_pool(dsn, max_size=4)
    limits = LiveLimits(PostgresBudgetFeed(pool, Wakeups(pool)))
    await limits.refresh()
    counters, ledger = RedisCounters(url, connect_redis(url)), PostgresLedger(pool)
    budgets = RedisBudgets(counters, ledger, limits, SystemClock(), 1.0)
    entry = ModelEntry(UUID(int=1), "m", "fake", price=Price(1_000_000, 1_000_000))
    caller = Caller(UUID(tenant), user, "", "test")
    print("begun", flush=True)
    await asyncio.gather(budgets.settling.run(), LedgerRelay(counters, ledger, SystemClock()).run(),
                         *(call(budgets, caller, entry, dice) for _ in range(16)))

asyncio.run(main(*sys.argv[1:]))
"""


def _month() -> str:
    return month_of(int(time.time()) * 1_000_000)


async def _agreed(world: World, tenant: UUID) -> TenantCheck:
    found = await check(world.counters, world.ledger, tenant, [_month()])
    assert found.right, found
    return found


async def test_killed_processes_leave_books_that_agree(world, postgres_dsn: str, redis_url: str) -> None:
    """Two processes with sixteen calls each at a time, killed again and again; reservations they leave expire."""
    cap = 20_000_000
    tenant = await world.tenant(Limits(hard=cap))
    user, dice = await world.user(tenant), random.Random(7)
    for round_ in range(5):
        children = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CHILD, postgres_dsn, redis_url, str(tenant), user, str(round_ * 2 + number)),
                stdout=asyncio.subprocess.PIPE,
            )
            for number in range(2)
        ]
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"begun\n"
        for child in children:
            await asyncio.sleep(0.2 + dice.random() * 0.4)
            child.kill()
            assert await child.wait() == -signal.SIGKILL
        found = await _agreed(world, tenant)
        assert found.months[0].counter is not None and 0 < found.months[0].counter <= cap
    await world.bring(tenant)
    counted = (await _agreed(world, tenant)).months[0]
    assert counted.counter == await world.rows(tenant)
    await asyncio.sleep(1.1)
    left = (await world.counters.left(Caller(tenant, user), _month()))[0]
    assert (left.spent, left.reserved) == (counted.counter, 0)


async def test_a_small_cap_holds_while_processes_are_killed(world, postgres_dsn: str, redis_url: str) -> None:
    cap = 50_000
    tenant = await world.tenant(Limits(hard=cap))
    user = await world.user(tenant)
    for round_ in range(3):
        command = (sys.executable, "-c", CHILD, postgres_dsn, redis_url, str(tenant), user, str(round_))
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None and await child.stdout.readline() == b"begun\n"
        await asyncio.sleep(0.4)
        child.kill()
        await child.wait()
        found = await _agreed(world, tenant)
        assert found.months[0].counter is not None and found.months[0].counter <= cap
        await asyncio.sleep(1.1)  # what it held expires
    await world.bring(tenant)
    assert await world.rows(tenant) <= cap


async def test_a_relay_killed_between_table_and_stream_counts_nothing_twice(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=10_000))
    replica = await world.replica()
    for _ in range(20):
        replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 10, 10), answered(7))
    await replica.flush()
    streamed = await world.counters.streamed(tenant, 500)
    async with world.ledger.turn(tenant, 1.0) as turn:
        assert await turn.take(streamed) == 20  # committed; then it was killed
    found = await _agreed(world, tenant)
    assert (found.months[0].ledger, found.months[0].stream) == (140, 0)
    assert len(await world.counters.streamed(tenant, 500)) == 20
    assert await world.bring(tenant) == 20
    assert await world.rows(tenant) == 140
    assert not await world.counters.streamed(tenant, 500)
    await _agreed(world, tenant)


async def test_a_flushed_redis_is_rebuilt_from_the_ledger(world, answered, entry) -> None:
    """Before anybody may spend on it. What lay in the stream alone is gone from both sides."""
    tenant = await world.tenant(Limits(hard=1_000))
    replica = await world.replica()
    user = await world.user(tenant)
    caller = Caller(tenant, user)
    for _ in range(9):
        replica.budgets.settle(await replica.budgets.reserve(caller, entry, 50, 50), answered(100))
        await replica.flush()
    await world.bring(tenant)
    await world.link.call(lambda client: client.flushall())
    reservation = await replica.budgets.reserve(caller, entry, 50, 50)
    with pytest.raises(Exception, match="used up"):
        await replica.budgets.reserve(caller, entry, 1, 0)
    replica.budgets.settle(reservation, answered(100))
    await replica.flush()
    left = await world.counters.left(caller, _month())
    assert [used.spent for used in left] == [1000, 1000, 1000]
    await _agreed(world, tenant)


async def test_a_redis_that_lost_its_last_second_is_mended_by_the_relay(world, answered, entry) -> None:
    """The relay had written down what a restarted server no longer knows of."""
    tenant = await world.tenant(Limits(hard=1_000))
    replica, relay = await world.replica(), LedgerRelay(world.counters, world.ledger, clock := FakeClock(time.time()))
    await relay.turn()
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 50, 50), answered(100))
    await replica.flush()
    clock.time += 6
    await relay.turn()
    lost = {"t": -60, "u:": -60, "k:": -60}
    await world.counters.adjust(tenant, _month(), lost)  # as if restarted with an older file
    assert not (await check(world.counters, world.ledger, tenant, [_month()])).right
    relay._server = "the one before"
    clock.time += 6
    await relay.turn()
    assert (await _agreed(world, tenant)).months[0].counter == 100


async def test_many_replicas_rebuild_at_once(world, answered, entry) -> None:
    tenant = await world.tenant(Limits(hard=100_000))
    replicas = [await world.replica() for _ in range(4)]
    for _ in range(5):
        await asyncio.gather(
            *(_spend(replica, tenant, entry, answered(10)) for replica in replicas for _ in range(10)),
        )
        for replica in replicas:
            await replica.flush()
        await world.bring(tenant)
        await world.link.call(lambda client: client.flushall())
    await _spend(replicas[0], tenant, entry, answered(10))
    await replicas[0].flush()
    assert (await world.counters.left(Caller(tenant), _month()))[0].spent == 5 * 40 * 10 + 10
    await _agreed(world, tenant)


async def _spend(replica, tenant: UUID, entry, settlement) -> None:
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 10, 10), settlement)


@pytest.fixture
def durable(engine_folder: Path) -> Iterator["Valkey"]:
    valkey = Valkey(engine_folder / f"budgets-{random_port()}")
    yield valkey
    valkey.stop()


class Valkey:
    """A Valkey of its own that syncs every write, as ours does."""

    def __init__(self, folder: Path) -> None:
        self.engine = EmbeddedValkey(folder, random_port(), "pw", folder.with_suffix(".log"), durable=True)
        self.engine.prepare()
        self.process = self.engine.start()

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.engine.check()
                    return
                except EngineError:
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def restart(self) -> None:
        self.process = self.engine.start()
        await self.ready()

    def stop(self) -> None:
        stop(self.process, sign=signal.SIGTERM)


@pytest.fixture
async def durable_world(pool: Pool, durable: Valkey) -> AsyncIterator[World]:
    await durable.ready()
    async with AsyncExitStack() as stack:
        yield World(pool, durable.engine.url(), stack)


async def test_a_killed_valkey_loses_nothing(durable_world, durable, answered, entry) -> None:
    """Calls that need it are refused meanwhile; ends of calls wait for it, and are counted once."""
    world, spent, refused = durable_world, 0, 0
    tenant = await world.tenant(Limits(hard=1_000_000))
    replicas = [await world.replica(relay=True) for _ in range(2)]
    over = asyncio.Event()

    async def call(number: int) -> None:
        nonlocal spent, refused
        dice = random.Random(number)
        while not over.is_set():
            try:
                reservation = await replicas[number % 2].budgets.reserve(Caller(tenant), entry, 40, 40)
            except Unavailable:
                refused += 1
                await asyncio.sleep(0.05)
                continue
            await asyncio.sleep(dice.random() * 0.02)
            cost = dice.randint(1, 80)
            spent += cost
            replicas[number % 2].budgets.settle(reservation, answered(cost))

    calls = [asyncio.create_task(call(number)) for number in range(10)]
    for _ in range(3):
        await asyncio.sleep(0.4)
        await durable.kill()
        await asyncio.sleep(0.3)
        await durable.restart()
    await asyncio.sleep(0.7)
    over.set()
    await asyncio.gather(*calls)
    for replica in replicas:
        await replica.flush()
    assert refused > 0
    found = await _agreed(world, tenant)
    assert found.months[0].counter == spent
    await world.bring(tenant)
    assert await world.rows(tenant) == spent


async def test_what_the_table_took_while_redis_was_away_is_counted_once(
    durable_world, durable, answered, entry
) -> None:
    world = durable_world
    tenant = await world.tenant(Limits(hard=1_000_000))
    replica = await world.replica()
    held = [await replica.budgets.reserve(Caller(tenant), entry, 40, 40) for _ in range(10)]
    await durable.kill()
    for reservation in held:
        replica.budgets.settle(reservation, answered(80))
    await replica.budgets.close()  # the process ends while Redis is away
    assert await world.rows(tenant) == 800
    await durable.restart()
    for _ in range(3):
        await asyncio.sleep(0.6)  # the link tries again after half a second
        await recount(world.counters, world.ledger, tenant)
        await world.bring(tenant)
    assert await world.ledger.tenants_uncounted() == []
    left = (await world.counters.left(Caller(tenant), _month()))[0]
    assert (left.spent, left.reserved) == (800, 0)
    await _agreed(world, tenant)
