"""Conversations and messages in PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from voicehelper.conversations.model import Conversation, Message, Owner, Place
from voicehelper.errors import NotFound
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.message_rows import MESSAGE, message_of
from voicehelper.stores.postgres.pool import Connection, Pool

_CONVERSATION = "id, title, kb_ids, created_at, updated_at"
_MINE = "id = $1 AND tenant_id = $2 AND user_id = $3"
_GET = f"SELECT {_CONVERSATION} FROM conversations WHERE {_MINE}"  # noqa: S608 - constants
_PAGE = f"""
SELECT {_CONVERSATION} FROM conversations
WHERE tenant_id = $1 AND user_id = $2 AND ($3::timestamptz IS NULL OR (updated_at, id) < ($3, $4::uuid))
ORDER BY updated_at DESC, id DESC LIMIT $5"""  # noqa: S608
_MESSAGES = f"""
SELECT {MESSAGE} FROM messages WHERE conversation_id = $1 AND tenant_id = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""  # noqa: S608


class PostgresConversations:
    """`ConversationRepository` on the tables `conversations` and `messages`. Every query names tenant and user."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, owner: Owner, title: str, kb_ids: Sequence[UUID]) -> Conversation:
        """A new conversation."""
        async with connected(self._pool, owner.tenant_id) as connection:
            row = await connection.fetchrow(
                "INSERT INTO conversations (id, tenant_id, user_id, title, kb_ids) VALUES ($1, $2, $3, $4, $5)"
                " RETURNING id, title, kb_ids, created_at, updated_at",
                new_id(),
                owner.tenant_id,
                owner.user_id,
                title,
                list(kb_ids),
            )
        return _conversation(row)

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """The conversation."""
        async with connected(self._pool, owner.tenant_id) as connection:
            return await _fetch(connection, _GET, owner, conversation_id)

    async def page(self, owner: Owner, limit: int, after: Place | None) -> list[Conversation]:
        """Conversations, last changed first."""
        place = (after.updated_at, after.id) if after else (None, None)
        async with connected(self._pool, owner.tenant_id) as connection:
            rows = await connection.fetch(_PAGE, owner.tenant_id, owner.user_id, *place, limit)
        return [_conversation(row) for row in rows]

    async def delete(self, owner: Owner, conversation_id: UUID) -> None:
        """Delete with messages."""
        async with connected(self._pool, owner.tenant_id) as connection:
            found = await connection.fetchval(
                f"DELETE FROM conversations WHERE {_MINE} RETURNING 1",  # noqa: S608
                conversation_id,
                owner.tenant_id,
                owner.user_id,
            )
        if not found:
            raise NotFound("No such conversation")

    async def messages(self, owner: Owner, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """Messages in order."""
        async with connected(self._pool, owner.tenant_id) as connection:
            await _fetch(connection, _GET, owner, conversation_id)
            rows = await connection.fetch(_MESSAGES, conversation_id, owner.tenant_id, after_seq, limit)
        return [message_of(row) for row in rows]


async def _fetch(connection: Connection, query: str, owner: Owner, conversation_id: UUID) -> Conversation:
    row = await connection.fetchrow(query, conversation_id, owner.tenant_id, owner.user_id)
    if row is None:
        raise NotFound("No such conversation")
    return _conversation(row)


def _conversation(row: asyncpg.Record | None) -> Conversation:
    assert row is not None
    values: dict[str, Any] = dict(row)
    return Conversation(**{**values, "kb_ids": tuple(values["kb_ids"])})
