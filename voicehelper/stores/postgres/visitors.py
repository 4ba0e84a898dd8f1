"""Visitors in PostgreSQL: users of kind `visitor`, found by their conversation."""

from uuid import UUID

from voicehelper.events.catalogue import UserDisabled
from voicehelper.identity.model import User
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.identity import USERS
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Pool

_OF = (
    USERS
    + """
JOIN conversations c ON c.tenant_id = u.tenant_id AND c.user_id = u.id
WHERE c.tenant_id = $1 AND c.id = $2 AND u.kind = 'visitor'"""
)
_DISMISS = """
UPDATE users SET disabled = true, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND kind = 'visitor' AND NOT disabled RETURNING true"""


class PostgresVisitors:
    """`identity.visitors.VisitorStore` on the tables `users` and `conversations`."""

    def __init__(self, pool: Pool, visitor_token_s: float) -> None:
        """`visitor_token_s`: the longest life of the tokens that learn of a dismissal."""
        self._pool = pool
        self._visitor_token_s = visitor_token_s

    async def of(self, tenant_id: UUID, conversation_id: UUID) -> User | None:
        """See `VisitorStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_OF, tenant_id, conversation_id)
        return User(**dict(row)) if row else None

    async def dismiss(self, tenant_id: UUID, visitor_id: UUID, conversation_id: UUID) -> bool:
        """See `VisitorStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            if not await conn.fetchval(_DISMISS, tenant_id, visitor_id):
                return False
            await record_change(conn, "user", tenant_id, visitor_id, self._visitor_token_s)
            await add_event(conn, tenant_id, UserDisabled(user_id=visitor_id))
            # A visitor's token names its conversation as others name their session.
            await record_change(conn, "session", tenant_id, conversation_id, self._visitor_token_s)
        return True
