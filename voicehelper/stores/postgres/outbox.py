"""Events written in the transaction that caused them, relayed to the bus afterwards, at least once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import OUTBOX, Wakeups, notify

_RELAY_LOCK = 0x6F7574626F78  # "outbox"


async def add_event(conn: Connection, type_: str, tenant_id: UUID, payload: dict[str, Any]) -> None:
    """Put an event into the outbox, within the caller's transaction."""
    await add_events(conn, [(type_, tenant_id, payload)])


async def add_events(conn: Connection, events: Sequence[tuple[str, UUID, dict[str, Any]]]) -> None:
    """Put events (type, tenant, payload) into the outbox, within the caller's transaction."""
    if events:
        await conn.executemany(
            "INSERT INTO outbox (id, type, tenant_id, payload) VALUES ($1, $2, $3, $4)",
            [(new_id(), *event) for event in events],
        )
        await notify(conn, OUTBOX)


class PostgresOutbox:
    """`knowledge.ports.Outbox` on the table `outbox`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def relay(self, publish: Callable[[Event], Awaitable[None]], limit: int = 100) -> int:
        """See `Outbox`. An error of `publish` ends the round; what went out before is marked."""
        async with transaction(self._pool) as conn:
            if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _RELAY_LOCK):
                return 0
            rows = await conn.fetch(
                "SELECT id, type, tenant_id, payload FROM outbox WHERE published_at IS NULL"
                " ORDER BY created_at, id LIMIT $1",
                limit,
            )
            sent: list[UUID] = []
            failure: Exception | None = None
            for row in rows:
                try:
                    await publish(Event(row["id"], row["type"], row["tenant_id"], row["payload"]))
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
        async with connection(self._pool) as conn:
            await conn.execute("DELETE FROM outbox WHERE published_at < now() - make_interval(secs => $1)", keep_s)

    async def wait(self, timeout: float) -> None:
        """See `Outbox`."""
        await self._wakeups.wait(OUTBOX, timeout)
