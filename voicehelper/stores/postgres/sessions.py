"""Sessions and refresh tokens in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from voicehelper.identity.opaque_tokens import Presented
from voicehelper.identity.sessions import Rotation, Session
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.identity_changes import record_changes
from voicehelper.stores.postgres.pool import Pool

_SESSION = "id, tenant_id, user_id, client, created_at, last_used_at, expires_at"
_ADD = f"INSERT INTO sessions ({_SESSION}) VALUES ($1, $2, $3, $4, $5, $6, $7)"  # noqa: S608 - constants
_ADD_TOKEN = "INSERT INTO refresh_tokens (token_hash, tenant_id, session_id, created_at) VALUES ($1, $2, $3, $4)"  # noqa: S105
_TENANT = "SELECT tenant_id FROM refresh_tokens WHERE token_hash = $1 AND session_id = $2"
# Two at once: the second waits for the first's row lock, then sees that the token is used.
_USE = """
UPDATE refresh_tokens SET used_at = $4
WHERE token_hash = $1 AND tenant_id = $2 AND session_id = $3 AND used_at IS NULL RETURNING true"""
_WAS_USED = "SELECT true FROM refresh_tokens WHERE token_hash = $1 AND tenant_id = $2 AND session_id = $3"
_EXTEND = """
UPDATE sessions SET last_used_at = $3, expires_at = $4
WHERE id = $1 AND tenant_id = $2 AND revoked_at IS NULL AND expires_at > $3 RETURNING user_id"""
_REVOKED = "SELECT revoked_at IS NOT NULL FROM sessions WHERE id = $1 AND tenant_id = $2"
_LIVE = f"""
SELECT {_SESSION} FROM sessions
WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3
ORDER BY last_used_at DESC, id DESC LIMIT 200"""  # noqa: S608
_END = """
UPDATE sessions SET revoked_at = now(), reason = $5
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND ($3::uuid IS NULL OR id = $3)
  AND ($4::uuid IS NULL OR id <> $4) AND revoked_at IS NULL RETURNING id"""


class PostgresSessions:
    """`identity.sessions.SessionStore` on the tables `sessions` and `refresh_tokens`."""

    def __init__(self, pool: Pool, access_token_s: float) -> None:
        """`access_token_s`: the life of the access tokens that ending a session must outlast."""
        self._pool = pool
        self._access_token_s = access_token_s

    async def add(self, session: Session, digest: bytes) -> None:
        """See `SessionStore`."""
        async with transaction(self._pool, session.tenant_id) as conn:
            await conn.execute(
                _ADD,
                session.id,
                session.tenant_id,
                session.user_id,
                session.client,
                session.created_at,
                session.last_used_at,
                session.expires_at,
            )
            await conn.execute(_ADD_TOKEN, digest, session.tenant_id, session.id, session.created_at)

    async def tenant_of(self, token: Presented) -> UUID | None:
        """See `SessionStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            found: UUID | None = await conn.fetchval(_TENANT, token.secret_hash, token.id)
        return found

    async def rotate(
        self, tenant_id: UUID, token: Presented, digest: bytes, now: datetime, expires_at: datetime
    ) -> tuple[Rotation, UUID | None]:
        """See `SessionStore`."""
        presented = (token.secret_hash, tenant_id, token.id)
        async with transaction(self._pool, tenant_id) as conn:
            if not await conn.fetchval(_USE, *presented, now):
                return (Rotation.REUSED if await conn.fetchval(_WAS_USED, *presented) else Rotation.UNKNOWN), None
            user_id = await conn.fetchval(_EXTEND, token.id, tenant_id, now, expires_at)
            if user_id is None:
                ended = await conn.fetchval(_REVOKED, token.id, tenant_id)
                return (Rotation.ENDED if ended else Rotation.EXPIRED), None
            await conn.execute(_ADD_TOKEN, digest, tenant_id, token.id, now)
        return Rotation.ROTATED, user_id

    async def live(self, tenant_id: UUID, user_id: UUID, now: datetime) -> Sequence[Session]:
        """See `SessionStore`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_LIVE, tenant_id, user_id, now)
        return [Session(**dict(row)) for row in rows]

    async def end(
        self, tenant_id: UUID, user_id: UUID | None, session_id: UUID | None, keep: UUID | None, reason: str
    ) -> Sequence[UUID]:
        """See `SessionStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_END, tenant_id, user_id, session_id, keep, reason)
            ended = [row["id"] for row in rows]
            if ended:
                await record_changes(conn, "session", tenant_id, ended, self._access_token_s)
        return ended

    async def prune(self, now: datetime, tokens_before: datetime) -> None:
        """See `SessionStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM sessions WHERE expires_at < $1", now)
            await conn.execute("DELETE FROM refresh_tokens WHERE created_at < $1", tokens_before)
