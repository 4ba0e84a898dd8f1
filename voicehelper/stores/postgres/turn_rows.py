"""Statements and rows of turns."""

from typing import Any
from uuid import UUID

import asyncpg

from voicehelper.conversations.model import Message, Owner
from voicehelper.conversations.turns import StoredTurn, Turn
from voicehelper.stores.postgres.message_rows import MESSAGE, message_of

# After a start of the server the living have to renew first: nothing has lapsed for a moment.
_RETURNED = "pg_postmaster_start_time() < now() - make_interval(secs => {})"
_LAPSED = "coalesce(deadline <= now() OR progress_deadline <= now(), false)"

LOCK = "SELECT kb_ids FROM conversations WHERE id = $1 AND tenant_id = $2 AND user_id = $3 FOR UPDATE"
MINE = "SELECT 1 FROM conversations WHERE id = $1 AND tenant_id = $2 AND user_id = $3"
LAST = f"""
SELECT id, seq, status, attempt, {_LAPSED} AND {_RETURNED.format("$3")} AS lapsed FROM messages
WHERE conversation_id = $1 AND tenant_id = $2 ORDER BY seq DESC LIMIT 1"""  # noqa: S608 - constants
INSERT = f"""
WITH touched AS (
    UPDATE conversations SET updated_at = now(), title = CASE title WHEN '' THEN $9 ELSE title END,
        version = version + (title = '' AND $9 <> '')::int
    WHERE id = $3)
INSERT INTO messages (id, tenant_id, conversation_id, seq, role, status, content, attachments, completed_at,
    metadata, run_id, deadline, progress_deadline)
VALUES ($1, $2, $3, $4, 'user', 'completed', $5, $6, now(), $12, NULL, NULL, NULL),
       ($7, $2, $3, $4 + 1, 'assistant', 'streaming', '', '[]', NULL,
        '{{}}', $8, now() + make_interval(secs => $10), now() + make_interval(secs => $11))
RETURNING {MESSAGE}"""  # noqa: S608
# What was heard, or is being written still, stays.
WITHDRAW = """
DELETE FROM messages m USING messages a
WHERE a.id = $1 AND a.conversation_id = $2 AND a.tenant_id = $3 AND a.role = 'assistant'
  AND a.status <> 'streaming' AND a.content = ''
  AND m.conversation_id = a.conversation_id AND m.tenant_id = a.tenant_id AND m.seq IN (a.seq - 1, a.seq)
RETURNING m.id, m.role, m.content"""
UNTITLE = "UPDATE conversations SET title = '' WHERE id = $1 AND tenant_id = $2 AND title = $3"
# Feedback was on what the answer said: it goes where that goes.
BEGIN_AGAIN = f"""
WITH judged AS (DELETE FROM feedback WHERE message_id = $1 AND tenant_id = $2 AND $6 RETURNING rating, comment)
UPDATE messages SET status = 'streaming', content = '', citations = '[]', metadata = '{{}}', completed_at = NULL,
    trail = NULL, stop_requested = false, attempt = attempt + 1, run_id = $3,
    deadline = now() + make_interval(secs => $4), progress_deadline = now() + make_interval(secs => $5),
    alternatives = CASE WHEN $6 THEN alternatives || jsonb_build_object('content', content, 'citations', citations,
        'metadata', metadata, 'status', status, 'completed_at', completed_at,
        'rating', (SELECT rating FROM judged), 'comment', (SELECT comment FROM judged)) ELSE alternatives END
WHERE id = $1 AND tenant_id = $2 RETURNING attempt, {MESSAGE}"""  # noqa: S608
_STORED = f"""
SELECT {", ".join(f"m.{name}" for name in MESSAGE.split(", "))}, m.attempt, m.trail, c.kb_ids,
    m.status = 'streaming' AND {_LAPSED} AND {_RETURNED.format("$4")} AS lapsed
FROM messages m JOIN conversations c ON c.id = m.conversation_id AND c.tenant_id = m.tenant_id
WHERE m.conversation_id = $1 AND m.tenant_id = $2 AND c.user_id = $3"""  # noqa: S608
STORED = f"""{_STORED} AND m.seq IN (
    (SELECT seq FROM messages WHERE id = $5 AND conversation_id = $1 AND tenant_id = $2 AND role = 'assistant'),
    (SELECT seq - 1 FROM messages WHERE id = $5 AND conversation_id = $1 AND tenant_id = $2 AND role = 'assistant'))
ORDER BY m.seq"""  # noqa: S608
STORED_FROM = _STORED + " AND m.seq >= $5 - 1 ORDER BY m.seq LIMIT $6"
STORED_LAST = _STORED + " ORDER BY m.seq DESC LIMIT 2"
REQUEST_STOP = """
UPDATE messages SET stop_requested = true WHERE id = $1 AND tenant_id = $2 AND status = 'streaming'"""
KEEP_HEARD = """
UPDATE messages SET attempt = $3, content = $4, citations = $5, metadata = $6, trail = $7
WHERE id = $1 AND tenant_id = $2 AND status <> 'streaming'"""
RENEW = """
UPDATE messages m SET deadline = now() + make_interval(secs => $6), content = d.content, trail = d.trail::jsonb,
    progress_deadline = now() + make_interval(secs => d.progress_s)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::float8[]) AS d (id, run_id, content, trail, progress_s)
WHERE m.id = d.id AND m.run_id = d.run_id AND m.status = 'streaming' RETURNING m.id, m.stop_requested"""
FINISH = f"""
UPDATE messages SET status = $4, content = $5, citations = $6, metadata = $7, trail = $8, completed_at = now(),
    deadline = NULL, progress_deadline = NULL
WHERE id = $1 AND tenant_id = $2 AND run_id = $3 AND status <> 'completed' AND status <> $4
RETURNING (SELECT q.id FROM messages q WHERE q.conversation_id = messages.conversation_id AND q.seq = messages.seq - 1)
    AS question_id, {MESSAGE}"""  # noqa: S608
FINISHED = f"SELECT run_id, {MESSAGE} FROM messages WHERE id = $1 AND tenant_id = $2"  # noqa: S608
# Whose lease is over died; whose saga is over is compensated.
EXPIRE = f"""
UPDATE messages a SET status = 'failed', completed_at = now(), deadline = NULL, progress_deadline = NULL,
    metadata = a.metadata || jsonb_build_object('outcome', 'failed', 'error', jsonb_build_object('code',
        CASE WHEN a.deadline <= now() THEN $1::int ELSE $2::int END))
FROM conversations c, messages q
WHERE a.status = 'streaming' AND (a.deadline <= now() OR a.progress_deadline <= now())
  AND c.id = a.conversation_id AND q.conversation_id = a.conversation_id AND q.seq = a.seq - 1
  AND {_RETURNED.format("$3")}
  AND ($4::uuid IS NULL OR a.conversation_id = $4)
RETURNING a.tenant_id, a.conversation_id, c.user_id, q.id AS question_id, a.id, a.seq, a.attempt,
    (a.metadata #>> '{{error,code}}')::int AS code"""  # noqa: S608


def plain(row: asyncpg.Record) -> Message:
    """The message in a row that has more columns than its own."""
    return message_of({name: row[name] for name in MESSAGE.split(", ")})


def stored_turns(owner: Owner, rows: list[asyncpg.Record]) -> list[StoredTurn]:
    """Turns in rows of questions and answers, in order."""
    questions = {row["seq"]: row for row in rows if row["role"] == "user"}
    return [
        _stored(owner, questions[row["seq"] - 1], row)
        for row in rows
        if row["role"] == "assistant" and row["seq"] - 1 in questions
    ]


def _stored(owner: Owner, question: asyncpg.Record, answer: asyncpg.Record) -> StoredTurn:
    turn = Turn(owner, plain(question), plain(answer), answer["attempt"], tuple(answer["kb_ids"]))
    trail: dict[str, Any] | None = answer["trail"]
    if trail is None:
        return StoredTurn(turn, lapsed=answer["lapsed"])
    return StoredTurn(turn, tuple(trail["cuts"]), trail.get("error"), answer["lapsed"])


def place(owner: Owner, conversation_id: UUID) -> tuple[UUID, UUID, UUID]:
    """Arguments that name an owner's conversation."""
    return conversation_id, owner.tenant_id, owner.user_id
