"""Budgets on real engines: as many replicas as a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from voicehelper.ids import new_id
from voicehelper.models.budget_view import LiveLimits
from voicehelper.models.budgets import Limits
from voicehelper.models.ledger_relay import LedgerRelay, bring
from voicehelper.models.model import ModelEntry, Price, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.stores.budget_counters import RedisCounters
from voicehelper.stores.budgets import RedisBudgets
from voicehelper.stores.postgres.budgets import PostgresBudgetFeed, PostgresBudgets
from voicehelper.stores.postgres.ledger import PostgresLedger
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis import RedisLink, connect_redis

ENTRY = ModelEntry(new_id(), "m", "fake", price=Price(1_000_000, 1_000_000))
"""A micro-dollar a token."""


@dataclass
class Replica:
    """One process's budgets."""

    budgets: RedisBudgets
    counters: RedisCounters
    limits: LiveLimits
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def flush(self) -> None:
        """Until nothing waits to be settled."""
        async with asyncio.timeout(20):
            while len(self.budgets.settling):  # noqa: ASYNC110 - what it waits for says nothing
                await asyncio.sleep(0.01)


class World:
    """A database, a Redis, and what a test makes of them."""

    def __init__(self, pool: Pool, url: str, stack: AsyncExitStack) -> None:
        self.pool, self.url, self.stack = pool, url, stack
        self.ledger = PostgresLedger(pool)
        self.store = PostgresBudgets(pool)
        self.link: RedisLink = connect_redis(url)
        stack.push_async_callback(self.link.close)
        self.counters = RedisCounters(url, self.link)
        stack.push_async_callback(self.counters.close)

    async def tenant(self, limits: Limits | None = None) -> UUID:
        """A new one."""
        tenant_id = new_id()
        await self.pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, str(tenant_id))
        if limits is not None:
            await self.store.add(tenant_id, "tenant", None, limits)
        return tenant_id

    async def user(self, tenant_id: UUID) -> str:
        """A new one."""
        user_id = new_id()
        await self.pool.execute(
            "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, $3, 'x', 'member')",
            user_id,
            tenant_id,
            f"{user_id}@example.com",
        )
        return str(user_id)

    async def replica(self, clock: Clock | None = None, life_s: float = 600.0, relay: bool = False) -> Replica:
        """A process's budgets, whose limits are read now and settled calls brought away."""
        clock = clock or SystemClock()
        link = connect_redis(self.url)
        self.stack.push_async_callback(link.close)
        counters = RedisCounters(self.url, link)
        self.stack.push_async_callback(counters.close)
        wakeups = Wakeups(self.pool)
        self.stack.push_async_callback(wakeups.close)
        limits = LiveLimits(PostgresBudgetFeed(self.pool, wakeups), 0.2)
        await limits.refresh()
        budgets = RedisBudgets(counters, self.ledger, limits, clock, life_s)
        replica = Replica(budgets, counters, limits)
        replica.tasks = [asyncio.create_task(budgets.settling.run())]
        if relay:
            replica.tasks.append(asyncio.create_task(LedgerRelay(counters, self.ledger, SystemClock()).run()))
        self.stack.push_async_callback(_stop, replica.tasks)
        return replica

    async def rows(self, tenant_id: UUID) -> int:
        """Micro-dollars in the table."""
        query = "SELECT coalesce(sum(cost_micros), 0)::bigint FROM usage_ledger WHERE tenant_id = $1"
        return int(await self.pool.fetchval(query, tenant_id))

    async def bring(self, tenant_id: UUID) -> int:
        """What a relay does."""
        return await bring(self.counters, self.ledger, tenant_id, 10.0)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def world(pool: Pool, redis_url: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(pool, redis_url, stack)


@pytest.fixture
def answered() -> Callable[..., Settlement]:
    """A call that cost so much, in tokens of a micro-dollar."""

    def make(micros: int, outcome: str = "answered") -> Settlement:
        return Settlement(ChatUsage(prompt_tokens=micros), micros, outcome, 12.0, 3.0)

    return make


@pytest.fixture
def entry() -> ModelEntry:
    return ENTRY


Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits for something, ten seconds at most."""

    async def wait(true: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await true():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    return wait
