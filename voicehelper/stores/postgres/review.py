"""A tenant's conversations in PostgreSQL, whoever's they are."""

from uuid import UUID

from voicehelper.conversations.model import Conversation, Filter, Message, Place
from voicehelper.errors import NotFound
from voicehelper.stores.postgres.conversations import CONVERSATION, MATCHING, conversation_of, page_arguments
from voicehelper.stores.postgres.guard import connection
from voicehelper.stores.postgres.message_rows import MESSAGE, message_of
from voicehelper.stores.postgres.pool import Pool

# One query for a user's and one for everybody's: each goes along an index of its own.
_EVERYBODYS = f"""
SELECT {CONVERSATION} FROM conversations WHERE tenant_id = $1 AND $2::uuid IS NULL AND {MATCHING}"""  # noqa: S608
_ONE_USERS = f"SELECT {CONVERSATION} FROM conversations WHERE tenant_id = $1 AND user_id = $2 AND {MATCHING}"  # noqa: S608
_OWNER = "SELECT user_id FROM conversations WHERE id = $1 AND tenant_id = $2"
_MESSAGES = f"""
SELECT {MESSAGE}, alternatives, (SELECT f.rating FROM feedback f
                   WHERE f.message_id = messages.id AND f.tenant_id = $2 AND f.user_id = $5) AS rating
FROM messages WHERE conversation_id = $1 AND tenant_id = $2 AND seq > $3 ORDER BY seq LIMIT $4"""  # noqa: S608


class PostgresReview:
    """`ReviewRepository` on the tables `conversations` and `messages`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, tenant_id: UUID, chosen: Filter, limit: int, after: Place | None) -> list[Conversation]:
        """See `ReviewRepository`."""
        query = _ONE_USERS if chosen.user_id else _EVERYBODYS
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(query, tenant_id, chosen.user_id, *page_arguments(chosen, limit, after))
        return [conversation_of(row) for row in rows]

    async def messages(self, tenant_id: UUID, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """See `ReviewRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            owner = await conn.fetchval(_OWNER, conversation_id, tenant_id)
            if owner is None:
                raise NotFound("No such conversation")
            rows = await conn.fetch(_MESSAGES, conversation_id, tenant_id, after_seq, limit, owner)
        return [message_of(row) for row in rows]
