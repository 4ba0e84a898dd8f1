"""Dead letters, and what each consumer group has handled."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound
from voicehelper.events.channel import REPLAY, Delivery
from voicehelper.events.letters import DeadLetter, LetterState
from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import REPLAYS, Wakeups, notify

_EVENT = "event_id, type, tenant_id, payload, version, key, extract(epoch FROM occurred_at)::float8 AS occurred_at"
_LETTER = f"""
SELECT id, consumer, {_EVENT}, attempts, error, failed_at, replayed_at,
       CASE WHEN replayed_at IS NOT NULL THEN 'replayed' WHEN replay_requested_at IS NOT NULL THEN 'replaying'
            ELSE 'dead' END AS state
FROM dead_letters
"""  # noqa: S608 - constants
_BURY = """
INSERT INTO dead_letters (id, tenant_id, consumer, event_id, type, version, key, payload, occurred_at, attempts, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9), $10, $11)
ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = excluded.attempts, error = excluded.error,
    failed_at = now(), replay_requested_at = NULL, replayed_at = NULL
"""
_PAGE = (
    _LETTER
    + """
WHERE tenant_id = $1 AND ($2::text IS NULL OR consumer = $2) AND ($3::uuid IS NULL OR id < $3)
  AND CASE $4::text WHEN 'dead' THEN replayed_at IS NULL AND replay_requested_at IS NULL
      WHEN 'replaying' THEN replayed_at IS NULL AND replay_requested_at IS NOT NULL
      WHEN 'replayed' THEN replayed_at IS NOT NULL ELSE true END
ORDER BY id DESC LIMIT $5
"""
)


class PostgresDeadLetters:
    """`events.letters.DeadLetters` and `DeadLetterArchive`."""

    def __init__(self, pool: Pool, wakeups: Wakeups | None = None) -> None:
        self._pool = pool
        self._wakeups = wakeups or Wakeups(pool)

    async def bury(self, consumer: str, event: Event, attempts: int, error: str) -> None:
        """See `DeadLetters`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                _BURY,
                new_id(),
                event.tenant_id,
                consumer,
                event.id,
                event.type,
                event.version,
                event.key,
                event.payload,
                event.occurred_at,
                attempts,
                error,
            )

    async def requested(self, consumer: str, limit: int) -> Sequence[Delivery]:
        """See `DeadLetters`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                f"SELECT id, {_EVENT} FROM dead_letters WHERE consumer = $1 AND replay_requested_at IS NOT NULL"  # noqa: S608
                " ORDER BY id LIMIT $2",
                consumer,
                limit,
            )
        return [Delivery(_event(row), REPLAY, str(row["id"]), letter_id=row["id"]) for row in rows]

    async def replayed(self, letter_id: UUID) -> None:
        """See `DeadLetters`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "UPDATE dead_letters SET replayed_at = now(), replay_requested_at = NULL WHERE id = $1", letter_id
            )

    async def wait(self, timeout: float) -> None:
        """See `DeadLetters`."""
        await self._wakeups.wait(REPLAYS, timeout)

    async def find(
        self,
        tenant_id: UUID,
        consumer: str | None = None,
        state: LetterState | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> list[DeadLetter]:
        """See `DeadLetterArchive`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_PAGE, tenant_id, consumer, before, state, limit)
        return [_letter(row) for row in rows]

    async def replay(self, tenant_id: UUID, letter_id: UUID) -> DeadLetter:
        """See `DeadLetterArchive`."""
        async with transaction(self._pool, tenant_id) as conn:
            await conn.execute(
                "UPDATE dead_letters SET replay_requested_at = coalesce(replay_requested_at, now())"
                " WHERE tenant_id = $1 AND id = $2 AND replayed_at IS NULL",
                tenant_id,
                letter_id,
            )
            row = await conn.fetchrow(_LETTER + "WHERE tenant_id = $1 AND id = $2", tenant_id, letter_id)
            await notify(conn, REPLAYS)
        if row is None:
            raise NotFound("No such dead letter")
        letter = _letter(row)
        if letter.state == "replayed":
            raise Conflict("The event was handled since")
        return letter

    async def prune(self, keep_s: float) -> None:
        """Forget letters that were replayed, and events that were handled or begun, twice as long ago as events can
        come again: see `events.relay.Prunable`."""
        async with connection(self._pool, SYSTEM) as conn:
            for old in (
                "DELETE FROM dead_letters WHERE replayed_at < now() - make_interval(secs => $1)",
                "DELETE FROM processed_events WHERE at < now() - make_interval(secs => $1)",
                "DELETE FROM event_attempts WHERE at < now() - make_interval(secs => $1)",
            ):
                await conn.execute(old, 2 * keep_s)


async def first_time(conn: Connection, consumer: str, event: Event) -> bool:
    """Whether this group handles `event` for the first time, to be asked within the transaction that handles it.

    The event counts as handled once that transaction commits. Somebody else's open one is waited for.
    """
    status = await conn.execute(
        "INSERT INTO processed_events (consumer, event_id, tenant_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        consumer,
        event.id,
        event.tenant_id,
    )
    return status == "INSERT 0 1"


def _event(row: asyncpg.Record) -> Event:
    return Event(
        row["event_id"],
        row["type"],
        row["tenant_id"],
        row["payload"],
        row["version"],
        row["key"],
        row["occurred_at"],
    )


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        row["id"],
        row["consumer"],
        _event(row),
        row["attempts"],
        row["error"],
        row["failed_at"],
        row["state"],
        row["replayed_at"],
    )
