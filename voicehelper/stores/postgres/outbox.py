"""Events written in the transaction that caused them, relayed to the bus afterwards, at least once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from voicehelper.events.fact import Fact, new_event
from voicehelper.events.relay import Relayed
from voicehelper.ports.events import Event, EventBus
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool, affected
from voicehelper.stores.postgres.wakeups import OUTBOX, Wakeups, notify

_RELAY_LOCK = 0x6F7574626F78  # "outbox"
_MARK = "SELECT t AS at, (extract(epoch FROM t) * 1000000)::bigint AS mark FROM clock_timestamp() t"
_UNPUBLISHED = """
SELECT id, type, tenant_id, payload, version, key, extract(epoch FROM created_at)::float8 AS occurred_at
FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT $1
"""
_LAST_MARK = "SELECT (extract(epoch FROM max(published_at)) * 1000000)::bigint FROM outbox"
_RECOVER = """
UPDATE outbox SET published_at = NULL
WHERE published_at > now() - make_interval(secs => $2) AND (extract(epoch FROM published_at) * 1000000)::bigint > $1
"""


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
    """`events.relay.Outbox` on the table `outbox`.

    `seq` numbers events as they are inserted, so those of one key that hold a common lock commit in its order. The mark
    of a batch is the time of its publication in microseconds, taken under the relay's lock.
    """

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def relay(self, bus: EventBus, limit: int = 200, recover_s: float = 3600.0) -> Relayed:
        """See `Outbox`."""
        async with transaction(self._pool, SYSTEM) as conn:
            if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _RELAY_LOCK):
                return Relayed(0)
            lost = await _recover(conn, await bus.marked(), recover_s)
            rows = await conn.fetch(_UNPUBLISHED, limit)
            if rows:
                moment = await conn.fetchrow(_MARK)
                assert moment is not None
                await bus.publish([Event(**row) for row in rows], moment["mark"])
                ids = [row["id"] for row in rows]
                await conn.execute("UPDATE outbox SET published_at = $2 WHERE id = ANY($1::uuid[])", ids, moment["at"])
        return Relayed(len(rows), lost)

    async def republish(self, since: datetime) -> int:
        """See `Outbox`."""
        async with transaction(self._pool, SYSTEM) as conn:
            done = await conn.execute(
                "UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL AND created_at >= $1", since
            )
            await notify(conn, OUTBOX)
        return affected(done)

    async def waiting_s(self) -> float:
        """See `Outbox`."""
        async with connection(self._pool, SYSTEM) as conn:
            return float(
                await conn.fetchval(
                    "SELECT coalesce(extract(epoch FROM now() - created_at), 0)::float8 FROM outbox"
                    " WHERE published_at IS NULL ORDER BY seq LIMIT 1"
                )
                or 0.0
            )

    async def prune(self, keep_s: float) -> None:
        """See `Outbox`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM outbox WHERE published_at < now() - make_interval(secs => $1)", keep_s)

    async def wait(self, timeout: float) -> None:
        """See `Outbox`."""
        await self._wakeups.wait(OUTBOX, timeout)


async def _recover(conn: Connection, marked: int | None, recover_s: float) -> int:
    """How many events the bus has lost; they are unpublished again."""
    if marked is None or marked >= (await conn.fetchval(_LAST_MARK) or 0):
        return 0
    return affected(await conn.execute(_RECOVER, marked, recover_s))
