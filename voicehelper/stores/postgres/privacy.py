"""Everything about one user in PostgreSQL: read, and erased."""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.conversations.model import Conversation
from voicehelper.conversations.privacy import Erased, Record, Section
from voicehelper.errors import NotFound
from voicehelper.events.catalogue import ConversationDeleted, UserErased
from voicehelper.stores.postgres.conversations import CONVERSATION, conversation_of
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.outbox import add_events
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.tenancy import switched
from voicehelper.stores.postgres.wakeups import BUDGETS, notify

_PAGE = 200
_USER = """
SELECT id, email, name, kind, role, disabled, created_at, last_login_at
FROM users WHERE tenant_id = $1 AND id = $2 AND erased_at IS NULL"""
_CONVERSATIONS = f"""
SELECT {CONVERSATION} FROM conversations
WHERE tenant_id = $1 AND user_id = $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT {_PAGE}"""  # noqa: S608
_SECTIONS: dict[Section, str] = {
    "sessions": "id, client, created_at, last_used_at, expires_at, revoked_at, reason FROM sessions"
    " WHERE tenant_id = $1 AND user_id = $2",
    "api_keys": "id, name, permissions, created_at, expires_at, last_used_at, revoked_at FROM api_keys"
    " WHERE tenant_id = $1 AND user_id = $2",
    "feedback": "id, message_id, rating, comment, created_at, updated_at FROM feedback"
    " WHERE tenant_id = $1 AND user_id = $2",
    "voice_sessions": "id, conversation_id, started_at, ended_at, reason, options, (SELECT coalesce("
    "jsonb_agg(entry ORDER BY j.seq, place), '[]') FROM voice_journal j, jsonb_array_elements(j.entries)"
    " WITH ORDINALITY AS e (entry, place) WHERE j.session_id = voice_sessions.id) AS journal FROM voice_sessions"
    " WHERE tenant_id = $1 AND user_id = $2",
    "usage": "id, at, feature, model, provider, prompt_tokens, completion_tokens, cost_micros, outcome"
    " FROM usage_ledger WHERE tenant_id = $1 AND user_id = $2",
    "audit": "id, at, action, resource, resource_id, outcome, address, details FROM audit_logs"
    " WHERE tenant_id = $1 AND (actor_id = $2::uuid OR details->>'user_id' = $2::uuid::text"
    " OR resource = 'user' AND resource_id = $2::uuid::text)",
}
_LOCK = "SELECT 1 FROM users WHERE tenant_id = $1 AND id = $2 AND erased_at IS NULL FOR UPDATE"
_COUNT = """
SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id AND c.tenant_id = m.tenant_id
WHERE c.tenant_id = $1 AND c.user_id = $2"""
_RESPONSES = """
WITH gone AS (DELETE FROM idempotency_keys WHERE tenant_id = $1 AND actor_id = ANY ($2::uuid[]) RETURNING 1)
SELECT count(*) FROM gone"""
_ANONYMISE = """
UPDATE users SET email = NULL, password_hash = NULL, name = '', disabled = true, erased_at = now(), updated_at = now(),
    last_login_at = NULL, version = version + 1
WHERE tenant_id = $1 AND id = $2"""

# The ledger stays, for its sums; whose the calls were is forgotten.
_USAGE = "UPDATE usage_ledger SET user_id = NULL, key_id = NULL WHERE tenant_id = $1 AND user_id = $2"
_BUDGETS = "DELETE FROM budgets WHERE tenant_id = $1 AND kind <> 'tenant' AND subject_id = ANY ($2::uuid[])"
_NOTICES = "DELETE FROM budget_notices WHERE tenant_id = $1 AND split_part(subject, ':', 2) = ANY ($2::text[])"


_ASSIGNMENTS = """
DELETE FROM experiment_assignments a USING experiments e, unnest($2::text[]) AS who
WHERE e.tenant_id = $1 AND a.experiment_id = e.id AND a.subject
    = substring(sha256(convert_to(e.id || '|' || e.salt || '|' || who, 'UTF8')) FROM 1 FOR 16)"""  # experiments/draw.py


class PostgresPrivacy:
    """`PrivacyRepository` on the tables that hold a user's data.

    Args:
        pool: the database.
        token_s: the longest life of a token: so long replicas must know that it is no good.
    """

    def __init__(self, pool: Pool, token_s: float) -> None:
        self._pool = pool
        self._token_s = token_s

    async def user(self, tenant_id: UUID, user_id: UUID) -> Record:
        """See `PrivacyRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_USER, tenant_id, user_id)
        if row is None:
            raise NotFound("No such user")
        return dict(row)

    async def section(self, tenant_id: UUID, user_id: UUID, name: Section, after: UUID | None) -> list[Record]:
        """See `PrivacyRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(
                f"SELECT {_SECTIONS[name]} AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT {_PAGE}",
                tenant_id,
                user_id,
                after,
            )
        return [dict(row) for row in rows]

    async def conversations(self, tenant_id: UUID, user_id: UUID, after: UUID | None) -> list[Conversation]:
        """See `PrivacyRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            return [conversation_of(row) for row in await conn.fetch(_CONVERSATIONS, tenant_id, user_id, after)]

    async def erase(self, tenant_id: UUID, user_id: UUID) -> tuple[Erased, list[UUID]]:
        """See `PrivacyRepository`."""
        async with transaction(self._pool, tenant_id) as conn:
            if not await conn.fetchval(_LOCK, tenant_id, user_id):
                raise NotFound("No such user")
            feedback = await _delete(conn, "feedback", tenant_id, user_id)
            messages = await conn.fetchval(_COUNT, tenant_id, user_id)
            conversations = await _delete(conn, "conversations", tenant_id, user_id)
            sessions = await _delete(conn, "sessions", tenant_id, user_id)
            keys = await _delete(conn, "api_keys", tenant_id, user_id)
            responses = await conn.fetchval(_RESPONSES, tenant_id, [user_id, *keys])
            await conn.execute(_ANONYMISE, tenant_id, user_id)
            await _forget_usage(conn, tenant_id, user_id, keys)
            await conn.execute(_ASSIGNMENTS, tenant_id, list(map(str, [user_id, *keys])))
            await self._tell(conn, tenant_id, user_id, sessions, keys)
            gone = [ConversationDeleted(conversation_id=id_, user_id=user_id) for id_ in conversations]
            await add_events(conn, [(tenant_id, fact) for fact in (*gone, UserErased(user_id=user_id))])
        counts = Erased(len(conversations), messages, len(feedback), len(sessions), len(keys), responses)
        return counts, conversations

    async def _tell(
        self, conn: Connection, tenant_id: UUID, user_id: UUID, sessions: list[UUID], keys: list[UUID]
    ) -> None:
        await record_change(conn, "user", tenant_id, user_id, self._token_s)
        for session_id in sessions:
            await record_change(conn, "session", tenant_id, session_id, self._token_s)
        for key_id in keys:
            await record_change(conn, "key", tenant_id, key_id, self._token_s)


async def _forget_usage(conn: Connection, tenant_id: UUID, user_id: UUID, keys: Sequence[UUID]) -> None:
    """`conn` is in the tenant's scope, which may not change the ledger. What is on its way there loses the name when it
    arrives."""
    gone = [user_id, *keys]
    await conn.execute(_BUDGETS, tenant_id, gone)
    await conn.execute(_NOTICES, tenant_id, list(map(str, gone)))
    await notify(conn, BUDGETS)
    async with switched(conn, tenant_id, SYSTEM):
        await conn.execute(_USAGE, tenant_id, user_id)


async def _delete(conn: Connection, table: str, tenant_id: UUID, user_id: UUID) -> list[UUID]:
    rows = await conn.fetch(
        f"DELETE FROM {table} WHERE tenant_id = $1 AND user_id = $2 RETURNING id",  # noqa: S608 - names of ours
        tenant_id,
        user_id,
    )
    return [row["id"] for row in rows]
