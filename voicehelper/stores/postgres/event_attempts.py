"""Attempts at events, for buses that cannot count them."""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.ports.events import Event
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool


class PostgresAttemptLog:
    """`events.channel.AttemptLog` on the table `event_attempts`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begun(self, consumer: str, event: Event, attempt: int) -> None:
        """See `AttemptLog`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "INSERT INTO event_attempts (consumer, event_id, tenant_id, attempts) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = excluded.attempts, at = now()",
                consumer,
                event.id,
                event.tenant_id,
                attempt,
            )

    async def attempts(self, consumer: str, event_ids: Sequence[UUID]) -> dict[UUID, int]:
        """See `AttemptLog`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT event_id, attempts FROM event_attempts WHERE consumer = $1 AND event_id = ANY($2::uuid[])",
                consumer,
                list(event_ids),
            )
        return {row["event_id"]: row["attempts"] for row in rows}

    async def forget(self, consumer: str, event_ids: Sequence[UUID]) -> None:
        """See `AttemptLog`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "DELETE FROM event_attempts WHERE consumer = $1 AND event_id = ANY($2::uuid[])",
                consumer,
                list(event_ids),
            )
