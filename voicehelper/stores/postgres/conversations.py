"""Conversations in PostgreSQL, and their messages as they are read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from voicehelper.conversations.model import Change, Conversation, Filter, Message, Owner, Place
from voicehelper.errors import NotFound, VersionConflict
from voicehelper.events.catalogue import ConversationCreated, ConversationDeleted, ConversationUpdated
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.message_rows import MESSAGE, message_of
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Connection, Pool

CONVERSATION = "id, title, kb_ids, created_at, updated_at, user_id, archived_at, version"
"""Columns that `conversation_of` needs."""

MATCHING = """($3::boolean IS NULL OR (archived_at IS NOT NULL) = $3) AND (updated_at, id) < ($4, $5)
  AND ($6 = '' OR title ILIKE $6 OR EXISTS (
    SELECT 1 FROM messages m WHERE m.conversation_id = conversations.id AND m.tenant_id = $1 AND m.content ILIKE $6))
ORDER BY updated_at DESC, id DESC LIMIT $7"""
"""The end of a query for a page; see `page_arguments` for $3 to $7. $1 is the tenant."""

_MINE = "id = $1 AND tenant_id = $2 AND user_id = $3"
_CREATE = f"""
INSERT INTO conversations (id, tenant_id, user_id, title, kb_ids) VALUES ($1, $2, $3, $4, $5)
RETURNING {CONVERSATION}"""  # noqa: S608 - constants
_GET = f"SELECT {CONVERSATION} FROM conversations WHERE {_MINE}"  # noqa: S608
_PAGE = f"SELECT {CONVERSATION} FROM conversations WHERE tenant_id = $1 AND user_id = $2 AND {MATCHING}"  # noqa: S608
_CHANGE = f"""
UPDATE conversations SET version = version + 1, title = coalesce($5, title), archived_at = CASE
    WHEN $6::boolean IS NULL THEN archived_at WHEN $6 THEN coalesce(archived_at, now()) END
WHERE {_MINE} AND version = $4 RETURNING {CONVERSATION}"""  # noqa: S608
_DELETE = f"DELETE FROM conversations WHERE {_MINE} RETURNING id"  # noqa: S608
_MESSAGES = f"""
SELECT {MESSAGE}, alternatives, (SELECT f.rating FROM feedback f
                   WHERE f.message_id = messages.id AND f.tenant_id = $2 AND f.user_id = $5) AS rating
FROM messages WHERE conversation_id = $1 AND tenant_id = $2 AND seq > $3 ORDER BY seq LIMIT $4"""  # noqa: S608

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_LAST_ID = UUID(int=2**128 - 1)


class PostgresConversations:
    """`ConversationRepository` on the tables `conversations` and `messages`. Every query names tenant and user."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, owner: Owner, title: str, kb_ids: Sequence[UUID]) -> Conversation:
        """See `ConversationRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            row = await conn.fetchrow(_CREATE, new_id(), owner.tenant_id, owner.user_id, title, list(kb_ids))
            created = conversation_of(row)
            fact = ConversationCreated(conversation_id=created.id, user_id=owner.user_id)
            await add_event(conn, owner.tenant_id, fact)
        return created

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """See `ConversationRepository`."""
        async with connected(self._pool, owner.tenant_id) as conn:
            return await _fetch(conn, owner, conversation_id)

    async def page(self, owner: Owner, chosen: Filter, limit: int, after: Place | None) -> list[Conversation]:
        """See `ConversationRepository`."""
        arguments = page_arguments(chosen, limit, after)
        async with connected(self._pool, owner.tenant_id) as conn:
            rows = await conn.fetch(_PAGE, owner.tenant_id, owner.user_id, *arguments)
        return [conversation_of(row) for row in rows]

    async def change(self, owner: Owner, conversation_id: UUID, change: Change) -> Conversation:
        """See `ConversationRepository`."""
        mine = (conversation_id, owner.tenant_id, owner.user_id)
        async with transaction(self._pool, owner.tenant_id) as conn:
            row = await conn.fetchrow(_CHANGE, *mine, change.version, change.title, change.archived)
            if row is None:
                present = await _fetch(conn, owner, conversation_id)
                raise VersionConflict(details={"version": present.version})
            await add_event(conn, owner.tenant_id, _updated(owner, row, change))
        return conversation_of(row)

    async def delete(self, owner: Owner, conversation_id: UUID) -> None:
        """See `ConversationRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            if not await conn.fetchval(_DELETE, conversation_id, owner.tenant_id, owner.user_id):
                raise NotFound("No such conversation")
            fact = ConversationDeleted(conversation_id=conversation_id, user_id=owner.user_id)
            await add_event(conn, owner.tenant_id, fact)

    async def messages(self, owner: Owner, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """See `ConversationRepository`."""
        async with connected(self._pool, owner.tenant_id) as conn:
            await _fetch(conn, owner, conversation_id)
            rows = await conn.fetch(_MESSAGES, conversation_id, owner.tenant_id, after_seq, limit, owner.user_id)
        return [message_of(row) for row in rows]


def page_arguments(chosen: Filter, limit: int, after: Place | None) -> tuple[Any, ...]:
    """$3 to $7 of `MATCHING`."""
    place = (after.updated_at, after.id) if after else (_END_OF_TIME, _LAST_ID)
    return (chosen.archived, *place, pattern_of(chosen.text), limit)


def pattern_of(text: str) -> str:
    """The ILIKE pattern for texts that contain `text`; empty for an empty one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else ""


def conversation_of(row: asyncpg.Record | None) -> Conversation:
    """The conversation in a row of the columns `CONVERSATION`."""
    assert row is not None
    values: dict[str, Any] = dict(row)
    return Conversation(**{**values, "kb_ids": tuple(values["kb_ids"])})


def _updated(owner: Owner, row: asyncpg.Record, change: Change) -> ConversationUpdated:
    changed: list[Literal["title", "archived"]] = []
    if change.title is not None:
        changed.append("title")
    if change.archived is not None:
        changed.append("archived")
    return ConversationUpdated(
        conversation_id=row["id"],
        user_id=owner.user_id,
        changed=tuple(changed),
        conversation_version=row["version"],
    )


async def _fetch(conn: Connection, owner: Owner, conversation_id: UUID) -> Conversation:
    row = await conn.fetchrow(_GET, conversation_id, owner.tenant_id, owner.user_id)
    if row is None:
        raise NotFound("No such conversation")
    return conversation_of(row)
