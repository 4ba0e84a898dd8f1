"""Events written in the transaction that caused them, relayed to the bus afterwards, at least once."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from voicehelper.events.fact import Fact, new_event
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import OUTBOX, Wakeups, notify

_RELAY_LOCK = 0x6F7574626F78  # "outbox"


async def add_event(conn: Connection, tenant_id: UUID, fact: Fact) -> None:
    """Put `fact` (see `events.catalogue`) into the outbox, within the caller's transaction.

    Two events of one key come out in the order of their transactions if both held a common row lock when they were
    added: lock what changes first, add the event then.
    """
    await add_events(conn, [(tenant_id, fact)])


async def add_events(conn: Connection, facts: Sequence[tuple[UUID, Fact]]) -> None:
    """Put facts (each with its tenant) into the outbox, likewise."""
    if facts:
        events = [new_event(tenant_id, fact) for tenant_id, fact in facts]
        await conn.executemany(
            "INSERT INTO outbox (id, type, version, tenant_id, key, payload) VALUES ($1, $2, $3, $4, $5, $6)",
            [(event.id, event.type, event.version, event.tenant_id, event.key, event.payload) for event in events],
        )
        await notify(conn, OUTBOX)


class PostgresOutbox:
    """`knowledge.ports.Outbox` on the table `outbox`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def relay(self, publish: Callable[[Event], Awaitable[None]], limit: int = 100) -> int:
        """See `Outbox`. An error of `publish` ends the round; what went out before is marked."""
        async with transaction(self._pool, SYSTEM) as conn:
            if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _RELAY_LOCK):
                return 0
            rows = await conn.fetch(
                "SELECT id, type, tenant_id, payload, version, key,"
                " extract(epoch FROM created_at)::float8 AS occurred_at FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT $1",
                limit,
            )
            sent: list[UUID] = []
            failure: Exception | None = None
            for row in rows:
                try:
                    await publish(Event(**row))
                except Exception as error:  # noqa: BLE001 - raised below, after marking what went out
                    failure = error
                    break
                sent.append(row["id"])
            await conn.execute("UPDATE outbox SET published_at = now() WHERE id = ANY($1::uuid[])", sent)
        if failure is not None:
            raise failure
        return len(sent)

    async def prune(self, keep_s: float) -> None:
        """See `Outbox`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM outbox WHERE published_at < now() - make_interval(secs => $1)", keep_s)

    async def wait(self, timeout: float) -> None:
        """See `Outbox`."""
        await self._wakeups.wait(OUTBOX, timeout)
