"""Context windows and summaries in PostgreSQL."""

from uuid import UUID

import asyncpg

from voicehelper.conversations.context import SeenTurn, Window, seen
from voicehelper.rag.events import PastTurn
from voicehelper.stores.postgres.guard import connection
from voicehelper.stores.postgres.pool import Pool, affected

# An answer that was stopped says nothing anybody relies on, unless somebody heard its beginning.
_SAID = "(a.status = 'completed' OR (a.status = 'stopped' AND a.metadata ? 'heard')) AND a.content <> ''"
_WINDOW = f"""
SELECT c.summary, c.summary_seq, t.seq, t.question, t.answer
FROM conversations c LEFT JOIN LATERAL (
    SELECT a.seq, q.content AS question, a.content AS answer
    FROM messages q JOIN messages a ON a.conversation_id = q.conversation_id AND a.seq = q.seq + 1
    WHERE q.conversation_id = c.id AND q.tenant_id = $2 AND q.role = 'user' AND q.seq < $3
      AND a.tenant_id = $2 AND a.role = 'assistant' AND {_SAID}
      AND a.seq > CASE WHEN c.summary_seq < $3 THEN c.summary_seq ELSE 0 END
    ORDER BY q.seq DESC LIMIT $4) t ON true
WHERE c.id = $1 AND c.tenant_id = $2 ORDER BY t.seq"""  # noqa: S608 - constants
_TURNS = f"""
SELECT a.seq, q.content AS question, a.content AS answer
FROM messages q JOIN messages a ON a.conversation_id = q.conversation_id AND a.seq = q.seq + 1
WHERE q.conversation_id = $1 AND q.tenant_id = $2 AND q.role = 'user'
  AND a.tenant_id = $2 AND a.role = 'assistant' AND {_SAID} AND a.seq > $3 AND a.seq < $4
ORDER BY a.seq LIMIT $5"""  # noqa: S608
_SUMMARISE = """
UPDATE conversations SET summary = $3, summary_seq = $4 WHERE id = $1 AND tenant_id = $2 AND summary_seq = $5"""


class PostgresContext:
    """`ContextStore` and `SummaryStore` on the tables `conversations` and `messages`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def window(self, tenant_id: UUID, conversation_id: UUID, before_seq: int, turns: int) -> Window:
        """See `ContextStore`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_WINDOW, conversation_id, tenant_id, before_seq, turns)
        return _window(rows, before_seq - 1)

    async def turns(
        self, tenant_id: UUID, conversation_id: UUID, after: int, before: int, limit: int
    ) -> list[SeenTurn]:
        """See `SummaryStore`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_TURNS, conversation_id, tenant_id, after, before, limit)
        return [_turn(row) for row in rows]

    async def store_summary(
        self, tenant_id: UUID, conversation_id: UUID, summary: str, summary_seq: int, before: int
    ) -> bool:
        """See `SummaryStore`."""
        async with connection(self._pool, tenant_id) as conn:
            tag = await conn.execute(_SUMMARISE, conversation_id, tenant_id, summary, summary_seq, before)
        return affected(tag) == 1


def _window(rows: list[asyncpg.Record], seq: int) -> Window:
    if not rows:
        return Window(seq)
    # A summary that covers what is asked about again says what an answer said that no longer stands.
    known = rows[0]["summary_seq"] <= seq
    summary, summary_seq = (rows[0]["summary"], rows[0]["summary_seq"]) if known else ("", 0)
    return Window(seq, tuple(_turn(row) for row in rows if row["seq"] is not None), summary, summary_seq)


def _turn(row: asyncpg.Record) -> SeenTurn:
    return seen(row["seq"], PastTurn(row["question"], row["answer"]))
