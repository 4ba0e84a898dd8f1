"""Turns in PostgreSQL: a question with its answer, under the lease of the process that writes it."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from voicehelper.conversations.model import Ending, Message, Owner, Turn, title_of
from voicehelper.errors import ConversationBusy, NotFound, Unavailable
from voicehelper.ids import new_id
from voicehelper.rag.events import PastTurn
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.message_rows import MESSAGE, message_of
from voicehelper.stores.postgres.pool import Pool

_LOCK = "SELECT 1 FROM conversations WHERE id = $1 AND tenant_id = $2 AND user_id = $3 FOR UPDATE"
_LOST = """status = 'failed', completed_at = now(), deadline = NULL,
    metadata = metadata || jsonb_build_object('outcome', 'failed', 'error', jsonb_build_object('code', $1::int))"""
_EXPIRE = f"UPDATE messages SET {_LOST} WHERE status = 'streaming' AND deadline <= now()"  # noqa: S608
_INSERT = f"""
INSERT INTO messages (id, tenant_id, conversation_id, seq, role, status, content, deadline, completed_at)
VALUES ($1, $2, $3, $4, 'user', 'completed', $5, NULL, now()),
       ($6, $2, $3, $4 + 1, 'assistant', 'streaming', '', now() + make_interval(secs => $7), NULL)
RETURNING {MESSAGE}"""  # noqa: S608
_TOUCH = """
UPDATE conversations SET updated_at = now(), version = version + 1, title = CASE title WHEN '' THEN $2 ELSE title END
WHERE id = $1"""
_HISTORY = """
SELECT q.content AS question, a.content AS answer
FROM messages q JOIN messages a ON a.conversation_id = q.conversation_id AND a.seq = q.seq + 1
WHERE q.conversation_id = $1 AND q.role = 'user' AND a.role = 'assistant' AND a.status = 'completed'
ORDER BY q.seq DESC LIMIT $2"""
_RENEW = """
UPDATE messages m SET deadline = now() + make_interval(secs => $3), content = d.content
FROM unnest($1::uuid[], $2::text[]) AS d (id, content) WHERE m.id = d.id AND m.status = 'streaming'"""
_FINISH = f"""
UPDATE messages SET status = $2, content = $3, citations = $4, metadata = $5, completed_at = now(), deadline = NULL
WHERE id = $1 AND role = 'assistant' AND status <> 'completed' RETURNING {MESSAGE}"""  # noqa: S608
_COMPLETED = f"SELECT {MESSAGE} FROM messages WHERE id = $1 AND status = 'completed'"  # noqa: S608


class PostgresTurns:
    """`TurnRepository` on the tables `conversations` and `messages`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin_turn(
        self, owner: Owner, conversation_id: UUID, content: str, lease_s: float, history_turns: int
    ) -> Turn:
        """Store question and empty answer under the conversation's row lock."""
        async with transaction(self._pool, owner.tenant_id) as connection:
            if not await connection.fetchval(_LOCK, conversation_id, owner.tenant_id, owner.user_id):
                raise NotFound("No such conversation")
            await connection.execute(_EXPIRE + " AND conversation_id = $2", Unavailable.code, conversation_id)
            last = await connection.fetchrow(
                "SELECT seq, status FROM messages WHERE conversation_id = $1 ORDER BY seq DESC LIMIT 1", conversation_id
            )
            if last and last["status"] == "streaming":
                raise ConversationBusy
            history = await connection.fetch(_HISTORY, conversation_id, history_turns)
            seq = last["seq"] + 1 if last else 1
            rows = await connection.fetch(
                _INSERT, new_id(), owner.tenant_id, conversation_id, seq, content, new_id(), lease_s
            )
            await connection.execute(_TOUCH, conversation_id, title_of(content))
        return Turn(
            message_of(rows[0]),
            message_of(rows[1]),
            tuple(PastTurn(row["question"], row["answer"]) for row in reversed(history)),
        )

    async def renew(self, drafts: Sequence[tuple[UUID, str]], lease_s: float) -> None:
        """Extend leases, keep texts."""
        async with connected(self._pool) as connection:
            await connection.execute(_RENEW, [d[0] for d in drafts], [d[1] for d in drafts], lease_s)

    async def finish(self, message_id: UUID, ending: Ending) -> Message | None:
        """Store the end of an answer (also over a lease that expired meanwhile: the answer is here after all)."""
        citations = [asdict(citation) for citation in ending.citations]
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                _FINISH, message_id, ending.status, ending.content, citations, ending.metadata
            )
            if row is None and ending.status == "completed":
                # An earlier attempt was committed, and the connection lost before the server could say so.
                row = await connection.fetchrow(_COMPLETED, message_id)
        return message_of(row) if row else None

    async def expire(self) -> int:
        """Fail answers of dead replicas."""
        async with connected(self._pool) as connection:
            tag = await connection.execute(_EXPIRE, Unavailable.code)
        return int(tag.rsplit(" ", 1)[-1])
