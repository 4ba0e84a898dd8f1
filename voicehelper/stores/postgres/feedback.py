"""Feedback on answers in PostgreSQL."""

from uuid import UUID

from voicehelper.conversations.feedback import Feedback
from voicehelper.conversations.model import Owner, Rating
from voicehelper.errors import NotFound
from voicehelper.events.catalogue import FeedbackGiven, FeedbackWithdrawn
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Connection, Pool

_ANSWER = """
SELECT 1 FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE c.id = $1 AND c.tenant_id = $2 AND c.user_id = $3
  AND m.id = $4 AND m.tenant_id = $2 AND m.role = 'assistant' AND m.status <> 'streaming'
FOR SHARE OF m"""
_GIVE = """
INSERT INTO feedback (id, tenant_id, message_id, user_id, rating, comment) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (message_id, user_id) DO UPDATE SET rating = $5, comment = $6, updated_at = now()
RETURNING message_id, rating, comment, created_at, updated_at"""
_WITHDRAW = "DELETE FROM feedback WHERE tenant_id = $1 AND message_id = $2 AND user_id = $3 RETURNING 1"


class PostgresFeedback:
    """`FeedbackRepository` on the table `feedback`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def give(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, rating: Rating, comment: str
    ) -> Feedback:
        """See `FeedbackRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _require_answer(conn, owner, conversation_id, message_id)
            row = await conn.fetchrow(_GIVE, new_id(), owner.tenant_id, message_id, owner.user_id, rating, comment)
            assert row is not None
            fact = FeedbackGiven(
                conversation_id=conversation_id, user_id=owner.user_id, message_id=message_id, rating=rating
            )
            await add_event(conn, owner.tenant_id, fact)
        return Feedback(**row)

    async def withdraw(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> None:
        """See `FeedbackRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _require_answer(conn, owner, conversation_id, message_id)
            if await conn.fetchval(_WITHDRAW, owner.tenant_id, message_id, owner.user_id):
                fact = FeedbackWithdrawn(conversation_id=conversation_id, user_id=owner.user_id, message_id=message_id)
                await add_event(conn, owner.tenant_id, fact)


async def _require_answer(conn: Connection, owner: Owner, conversation_id: UUID, message_id: UUID) -> None:
    if not await conn.fetchval(_ANSWER, conversation_id, owner.tenant_id, owner.user_id, message_id):
        raise NotFound("No such answer")
