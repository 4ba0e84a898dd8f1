"""Voice sessions in PostgreSQL. `epoch` fences: who does not hold the session any more can write nothing."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.conversations import Owner
from voicehelper.errors import NotFound, RateLimited
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Pool
from voicehelper.voice.store import Batch, Fenced, Hold, NewSession, StoredSession

_ALIVE_S = 60.0  # a session silent for longer counts as nobody's: its holder died, and nobody came back
_RETRY_S = 5.0

_LOCK = "SELECT 1 FROM users WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"
_COUNT = f"""
SELECT count(*) FROM voice_sessions WHERE tenant_id = $1 AND user_id = $2 AND ended_at IS NULL
AND touched_at > now() - make_interval(secs => {_ALIVE_S})"""  # noqa: S608 - constants
_CREATE = """
INSERT INTO voice_sessions (id, tenant_id, user_id, conversation_id, token_hash, epoch, options, snapshot)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_WRITE = """
UPDATE voice_sessions SET snapshot = $4, touched_at = now(),
    ended_at = CASE WHEN $5 = '' THEN NULL ELSE now() END, reason = $5
WHERE tenant_id = $1 AND id = $2 AND epoch = $3 AND ended_at IS NULL"""
_APPEND = """
INSERT INTO voice_journal (tenant_id, session_id, seq, entries) VALUES ($1, $2, $3, $4)
ON CONFLICT (session_id, seq) DO NOTHING"""
_TAKE = """
WITH found AS (
    SELECT id, touched_at FROM voice_sessions
    WHERE tenant_id = $1 AND id = $2 AND user_id = $3 AND token_hash = $4 AND ended_at IS NULL
      AND touched_at > now() - make_interval(secs => $5)
    FOR UPDATE)
UPDATE voice_sessions s SET epoch = epoch + 1, touched_at = now() FROM found f WHERE s.id = f.id AND s.tenant_id = $1
RETURNING s.conversation_id, s.epoch, s.options, s.snapshot,
    extract(epoch FROM now() - s.started_at)::float8 AS age,
    extract(epoch FROM now() - f.touched_at)::float8 AS silent"""
_TOUCH = """
UPDATE voice_sessions s SET touched_at = now() FROM unnest($1::uuid[], $2::integer[]) AS h (id, epoch)
WHERE s.id = h.id AND s.epoch = h.epoch AND s.ended_at IS NULL
RETURNING s.id"""
_LOST = """
UPDATE voice_sessions SET ended_at = now(), reason = 'lost' WHERE id = ANY (ARRAY(
    SELECT id FROM voice_sessions WHERE ended_at IS NULL AND touched_at < now() - make_interval(secs => $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED))"""
_FORGET = """
WITH gone AS (DELETE FROM voice_sessions WHERE id = ANY (ARRAY(
    SELECT id FROM voice_sessions WHERE ended_at < now() - make_interval(secs => $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1)
SELECT count(*) FROM gone"""


class PostgresSessions:
    """`SessionStore` on the tables `voice_sessions` and `voice_journal`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, new: NewSession, per_user: int) -> None:
        """See `SessionStore`. The user's row is locked meanwhile: two at once cannot both be the last one allowed."""
        hold = new.hold
        tenant_id, user_id = hold.owner.tenant_id, hold.owner.user_id
        async with transaction(self._pool, tenant_id) as conn:
            await conn.execute(_LOCK, tenant_id, user_id)
            if await conn.fetchval(_COUNT, tenant_id, user_id) >= per_user:
                raise RateLimited(
                    "Too many voice sessions", {"limit": "voice sessions", "most": per_user}, retry_after=_RETRY_S
                )
            place = (hold.session_id, tenant_id, user_id, new.conversation_id)
            try:
                await conn.execute(_CREATE, *place, new.token_hash, hold.epoch, new.options, new.snapshot)
            except asyncpg.ForeignKeyViolationError as error:
                raise NotFound("No such conversation") from error

    async def write(self, hold: Hold, batch: Batch) -> None:
        """See `SessionStore`."""
        place = (hold.owner.tenant_id, hold.session_id)
        async with transaction(self._pool, hold.owner.tenant_id) as conn:
            status = await conn.execute(_WRITE, *place, hold.epoch, batch.snapshot, batch.ended)
            if not status.endswith(" 1"):
                raise Fenced
            if batch.entries:
                await conn.execute(_APPEND, *place, batch.seq, list(batch.entries))

    async def take(self, owner: Owner, session_id: UUID, token_hash: bytes, within_s: float) -> StoredSession:
        """See `SessionStore`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            row = await conn.fetchrow(_TAKE, owner.tenant_id, session_id, owner.user_id, token_hash, within_s)
        if row is None:
            raise NotFound("No such voice session, or no longer")
        hold = Hold(owner, session_id, row["epoch"])
        return StoredSession(hold, row["conversation_id"], row["options"], row["snapshot"], row["age"], row["silent"])

    async def touch(self, holds: Sequence[Hold]) -> set[UUID]:
        """See `SessionStore`."""
        asked = [hold.session_id for hold in holds]
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(_TOUCH, asked, [hold.epoch for hold in holds])
        return set(asked) - {row["id"] for row in rows}

    async def tidy(self, lost_s: float, keep_s: float, limit: int) -> int:
        """See `SessionStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_LOST, lost_s, limit)
            return int(await conn.fetchval(_FORGET, keep_s, limit))
