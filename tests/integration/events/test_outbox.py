"""From PostgreSQL to Valkey: in order, at least once, again where the bus forgot."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import typer
from typer.testing import CliRunner

from voicehelper.cli.events import moment_of
from voicehelper.cli.main import app
from voicehelper.events.catalogue import ConversationCreated, ConversationDeleted, TenantCreated, TenantDisabled
from voicehelper.ids import new_id
from voicehelper.ports.events import FakeEventBus
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.outbox import PostgresOutbox, add_event
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis_groups import RedisChannel

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def tenant(pool: Pool) -> UUID:
    tenant_id = new_id()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'one')", tenant_id)
    return tenant_id


@pytest.fixture
async def outbox(pool: Pool) -> Any:
    wakeups = Wakeups(pool)
    yield PostgresOutbox(pool, wakeups)
    await wakeups.close()


async def add(pool: Pool, tenant: UUID, *facts: Any) -> None:
    async with transaction(pool, tenant) as conn:
        for fact in facts:
            await add_event(conn, tenant, fact)


async def test_what_is_rolled_back_never_happened(pool: Pool, tenant: UUID, outbox: PostgresOutbox) -> None:
    bus = FakeEventBus()
    with pytest.raises(ZeroDivisionError):
        async with transaction(pool, tenant) as conn:
            await add_event(conn, tenant, TenantCreated())
            raise ZeroDivisionError
    await add(pool, tenant, TenantDisabled())
    assert (await outbox.relay(bus)).published == 1
    (event,) = bus.events
    assert (event.type, event.version, event.tenant_id, event.key) == ("tenant.disabled", 1, tenant, str(tenant))
    assert abs(event.occurred_at - datetime.now(UTC).timestamp()) < 60


async def test_the_order_is_that_of_the_locks_not_of_the_transactions_begin(
    pool: Pool, tenant: UUID, outbox: PostgresOutbox
) -> None:
    """The transaction that began first got the row last; both were committed before the relay looked."""
    ids = {"conversation_id": new_id(), "user_id": new_id()}
    lock = "SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE"
    first_began, second_has_it = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with transaction(pool, tenant) as conn:
            await conn.execute("SELECT now()")
            first_began.set()
            await second_has_it.wait()
            await conn.execute(lock, tenant)
            await add_event(conn, tenant, ConversationDeleted(**ids))

    async def second() -> None:
        await first_began.wait()
        async with transaction(pool, tenant) as conn:
            await conn.execute(lock, tenant)
            second_has_it.set()
            await add_event(conn, tenant, ConversationCreated(**ids))

    await asyncio.gather(first(), second())
    bus = FakeEventBus()
    await outbox.relay(bus)
    assert [event.type for event in bus.events] == ["conversation.created", "conversation.deleted"]


async def test_two_relays_do_not_publish_twice(pool: Pool, tenant: UUID, outbox: PostgresOutbox) -> None:
    await add(pool, tenant, *[TenantCreated()] * 100)
    bus = FakeEventBus()
    while (await asyncio.gather(outbox.relay(bus, 7), outbox.relay(bus, 7)))[0].published:
        pass
    while (await outbox.relay(bus)).published:
        pass
    assert len({event.id for event in bus.events}) == len(bus.events) == 100


async def test_a_server_that_forgot_everything_gets_it_again(
    bus: Any, tools: Any, pool: Pool, tenant: UUID, outbox: PostgresOutbox
) -> None:
    """Also where another relay, which never saw it fail, publishes next."""
    await add(pool, tenant, *[TenantCreated()] * 5)
    await outbox.relay(bus.bus)
    await bus.client.flushall()
    await add(pool, tenant, TenantDisabled())
    done = await outbox.relay(bus.bus)
    assert (done.published, done.lost) == (6, 5)
    deliveries = await RedisChannel(bus.client, "g", tools.settings).fetch(100, (), 0)
    assert [item.event.type for item in deliveries] == ["tenant.created"] * 5 + ["tenant.disabled"]
    assert (await outbox.relay(bus.bus)).lost == 0


async def test_a_server_that_lost_its_newest_writes_gets_those_again(
    bus: Any, pool: Pool, tenant: UUID, outbox: PostgresOutbox
) -> None:
    await add(pool, tenant, *[TenantCreated()] * 3)
    await outbox.relay(bus.bus)
    kept = await bus.bus.marked()
    await add(pool, tenant, *[TenantDisabled()] * 2)
    await outbox.relay(bus.bus)
    await bus.bus.publish([], kept)  # as if the second batch had not been written to its file
    done = await outbox.relay(bus.bus)
    assert (done.published, done.lost) == (2, 2)


async def test_only_what_is_recent_comes_again_by_itself_the_rest_by_hand(
    bus: Any, pool: Pool, tenant: UUID, outbox: PostgresOutbox, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(pool, tenant, *[TenantCreated()] * 4)
    await outbox.relay(bus.bus)
    await pool.execute("UPDATE outbox SET created_at = now() - interval '3 h', published_at = now() - interval '3 h'")
    await bus.client.flushall()
    assert (await outbox.relay(bus.bus, recover_s=3600)).published == 0

    monkeypatch.setenv("VOICEHELPER_POSTGRES_URL", postgres_dsn)
    run = CliRunner().invoke
    result = await asyncio.to_thread(run, app, ["events", "republish", "--since", "2h"])
    assert result.output.startswith("0 events")
    result = await asyncio.to_thread(run, app, ["events", "republish", "--since", "4h"])
    assert (result.exit_code, result.output.startswith("4 events")) == (0, True), result.output
    assert (await outbox.relay(bus.bus)).published == 4
    assert await pool.fetchval("SELECT count(*) FROM audit_logs WHERE action = 'events.republished'") == 2


async def test_the_oldest_waiting_event_and_pruning(pool: Pool, tenant: UUID, outbox: PostgresOutbox) -> None:
    assert await outbox.waiting_s() == 0
    await add(pool, tenant, TenantCreated(), TenantDisabled())
    await pool.execute("UPDATE outbox SET created_at = now() - interval '90 s' WHERE type = 'tenant.created'")
    assert 89 < await outbox.waiting_s() < 120
    await outbox.relay(FakeEventBus(), 1)
    await pool.execute("UPDATE outbox SET published_at = now() - interval '2 h' WHERE published_at IS NOT NULL")
    await outbox.prune(3600)
    assert [row["type"] for row in await pool.fetch("SELECT type FROM outbox")] == ["tenant.disabled"]


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        (" 36h ", NOW - timedelta(hours=36)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-11-22T08:00:00Z", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        ("2026-11-22T16:00:00+08:00", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_moments(since: str, moment: datetime) -> None:
    assert moment_of(since, NOW) == moment


@pytest.mark.parametrize("since", ["", "soon", "5 years", "999999999d", "99999d9", "999999d"])
def test_no_moments(since: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_of(since, NOW)
