"""Turns in PostgreSQL: a question with its answer, under the lease of the process that writes it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from voicehelper.conversations.heard import Heard, cut_to
from voicehelper.conversations.model import Message, Owner, title_of
from voicehelper.conversations.turns import (
    LEFT,
    Ask,
    Ending,
    Lease,
    Renewal,
    Repeated,
    StoredTurn,
    Turn,
)
from voicehelper.errors import Conflict, ConversationBusy, DeadlineExceeded, NotFound, RequestInProgress, Unavailable
from voicehelper.events.catalogue import (
    ConversationAnswerCompleted,
    ConversationAnswerFailed,
    ConversationAnswerStopped,
    ConversationMessageSent,
)
from voicehelper.events.fact import Fact
from voicehelper.idempotency.model import WriteKey
from voicehelper.ids import new_id
from voicehelper.stores.postgres import turn_rows as sql
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.idempotency import claim
from voicehelper.stores.postgres.outbox import add_event, add_events
from voicehelper.stores.postgres.pool import Connection, Pool

_RETRY_S = 1.0


class PostgresTurns:
    """`TurnRepository` on the tables `conversations`, `messages`, `idempotency_keys` and `outbox`.

    Args:
        pool: connections.
        return_s: for so long after a start of the server no lease has lapsed, so that living writers renew first.
    """

    def __init__(self, pool: Pool, return_s: float = 0.0) -> None:
        self._pool = pool
        self._return_s = return_s

    async def begin(
        self, owner: Owner, conversation_id: UUID, ask: Ask, lease: Lease, key: WriteKey | None = None
    ) -> Turn | Repeated:
        """See `TurnRepository`."""
        question_id, answer_id = new_id(), new_id()
        async with transaction(self._pool, owner.tenant_id) as conn:
            kb_ids = await _lock(conn, owner, conversation_id)
            if key is not None and (used := await _used(conn, key, answer_id)):
                return used
            last = await self._idle(conn, owner, conversation_id)
            seq = last["seq"] + 1 if last else 1  # numbers of what is withdrawn now are not used again
            withdrawn = await _withdraw(conn, owner, conversation_id, ask.withdraws)
            metadata = {**ask.metadata, "replaces": withdrawn} if withdrawn else ask.metadata
            attachments = [asdict(attachment) for attachment in ask.attachments]
            new = (question_id, owner.tenant_id, conversation_id, seq, ask.content, attachments, answer_id)
            leased = (lease.run_id, title_of(ask.content), lease.seconds, lease.saga_s)
            rows = await conn.fetch(sql.INSERT, *new, *leased, metadata)
            sent = ConversationMessageSent(
                conversation_id=conversation_id,
                user_id=owner.user_id,
                message_id=question_id,
                answer_id=answer_id,
                seq=seq,
            )
            await add_event(conn, owner.tenant_id, sent)
        before = None if withdrawn else last["attempt"] if last else 0
        return Turn(owner, sql.plain(rows[0]), sql.plain(rows[1]), 1, kb_ids, before)

    async def begin_again(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, lease: Lease, key: WriteKey | None = None
    ) -> Turn | Repeated:
        """See `TurnRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _lock(conn, owner, conversation_id)
            stored = await self._stored(conn, owner, conversation_id, message_id)
            if key is not None and (used := await _used(conn, key, message_id)):
                return used
            last = await self._idle(conn, owner, conversation_id)
            if last is None or last["id"] != message_id:
                raise Conflict("Only the last answer can be written anew")
            return await _again(conn, stored.turn, lease, keep=True)

    async def take_over(self, owner: Owner, conversation_id: UUID, message_id: UUID, lease: Lease) -> Turn | None:
        """See `TurnRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _lock(conn, owner, conversation_id)
            stored = await self._stored(conn, owner, conversation_id, message_id)
            if not stored.retakable:
                return None
            await self._idle(conn, owner, conversation_id, besides=message_id)
            return await _again(conn, stored.turn, lease, keep=False)

    async def stored(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        """See `TurnRepository`."""
        async with connection(self._pool, owner.tenant_id) as conn:
            return await self._stored(conn, owner, conversation_id, message_id)

    async def stored_from(self, owner: Owner, conversation_id: UUID, seq: int, limit: int) -> list[StoredTurn]:
        """See `TurnRepository`."""
        place = sql.place(owner, conversation_id)
        async with connection(self._pool, owner.tenant_id) as conn:
            if seq:
                rows = await conn.fetch(sql.STORED_FROM, *place, self._return_s, seq, 2 * limit)
            else:
                rows = list(reversed(await conn.fetch(sql.STORED_LAST, *place, self._return_s)))
            if not rows and not await conn.fetchval(sql.MINE, *place):
                raise NotFound("No such conversation")
        return sql.stored_turns(owner, rows)

    async def request_stop(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        """See `TurnRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _lock(conn, owner, conversation_id)
            stored = await self._stored(conn, owner, conversation_id, message_id)
            if stored.lapsed:
                await _expire(conn, 0.0, conversation_id)
                return await self._stored(conn, owner, conversation_id, message_id)
            await conn.execute(sql.REQUEST_STOP, message_id, owner.tenant_id)
        return stored

    async def keep_heard(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int, at: datetime | None = None
    ) -> StoredTurn | None:
        """See `TurnRepository`."""
        async with transaction(self._pool, owner.tenant_id) as conn:
            await _lock(conn, owner, conversation_id)
            cut = cut_to(await self._stored(conn, owner, conversation_id, message_id), Heard(chars, at))
            if cut is None:
                return None
            answer, trail = cut.turn.answer, {"cuts": cut.trail, **({"error": cut.failure} if cut.failure else {})}
            citations = [asdict(citation) for citation in answer.citations]
            new = (answer.content, citations, answer.metadata, None if cut.trail is None else trail)
            await conn.execute(sql.KEEP_HEARD, message_id, owner.tenant_id, cut.turn.attempt, *new)
        return cut

    async def renew(self, renewals: Sequence[Renewal], lease_s: float) -> dict[UUID, bool]:
        """See `TurnRepository`."""
        columns = (
            [renewal.message_id for renewal in renewals],
            [renewal.run_id for renewal in renewals],
            [renewal.content for renewal in renewals],
            [orjson.dumps({"cuts": renewal.trail}).decode() for renewal in renewals],
            [renewal.progress_s for renewal in renewals],
        )
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(sql.RENEW, *columns, lease_s)
        return {row["id"]: row["stop_requested"] for row in rows}

    async def finish(self, turn: Turn, run_id: UUID, ending: Ending) -> Message | None:
        """See `TurnRepository`. An answer whose lease expired meanwhile is stored all the same: it is here."""
        tenant_id, answer_id = turn.owner.tenant_id, turn.answer.id
        values = (ending.status, ending.content, [asdict(citation) for citation in ending.citations], ending.metadata)
        trail = {"cuts": ending.trail, **({"error": ending.failure} if ending.failure else {})}
        async with transaction(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(sql.FINISH, answer_id, tenant_id, run_id, *values, trail)
            if row is not None:
                await add_event(conn, tenant_id, _ended(turn, sql.plain(row), ending))
                return sql.plain(row)
            # An earlier attempt may have been committed, and the connection lost before the server could say so.
            row = await conn.fetchrow(sql.FINISHED, answer_id, tenant_id)
        if row is None:
            raise NotFound("The conversation was deleted")
        return sql.plain(row) if row["run_id"] == run_id and row["status"] == ending.status else None

    async def expire(self, lease_s: float) -> int:
        """See `TurnRepository`."""
        async with transaction(self._pool, SYSTEM) as conn:
            return await _expire(conn, lease_s, None)

    async def _idle(
        self, conn: Connection, owner: Owner, conversation_id: UUID, besides: UUID | None = None
    ) -> asyncpg.Record | None:
        """The last message of a conversation in which nothing is being answered, `besides` this answer.

        Raises `ConversationBusy`.
        """
        last = await conn.fetchrow(sql.LAST, conversation_id, owner.tenant_id, self._return_s)
        if last is None or last["status"] != "streaming" or last["id"] == besides:
            return last
        if not last["lapsed"]:
            raise ConversationBusy(details={"message_id": str(last["id"])}, retry_after=_RETRY_S)
        await _expire(conn, 0.0, conversation_id)
        return last

    async def _stored(self, conn: Connection, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        rows = await conn.fetch(sql.STORED, *sql.place(owner, conversation_id), self._return_s, message_id)
        found = sql.stored_turns(owner, rows)
        if not found:
            raise NotFound("No such answer")
        return found[-1]


async def _lock(conn: Connection, owner: Owner, conversation_id: UUID) -> tuple[UUID, ...]:
    row = await conn.fetchrow(sql.LOCK, *sql.place(owner, conversation_id))
    if row is None:
        raise NotFound("No such conversation")
    return tuple(row["kb_ids"])


async def _withdraw(conn: Connection, owner: Owner, conversation_id: UUID, answer_id: UUID | None) -> list[str]:
    """Take an unheard answer and its question away, and the title that the question gave; their ids."""
    if answer_id is None:
        return []
    rows = await conn.fetch(sql.WITHDRAW, answer_id, conversation_id, owner.tenant_id)
    for row in rows:
        if row["role"] == "user":
            await conn.execute(sql.UNTITLE, conversation_id, owner.tenant_id, title_of(row["content"]))
    return [str(row["id"]) for row in rows]


async def _used(conn: Connection, key: WriteKey, message_id: UUID) -> Repeated | None:
    """The answer the key was used for; else the key is this one's from now on."""
    earlier = await claim(conn, key, message_id=message_id)
    if earlier is None:
        return None
    if earlier.message_id is None:
        raise RequestInProgress(retry_after=_RETRY_S)
    return Repeated(earlier.message_id)


async def _again(conn: Connection, turn: Turn, lease: Lease, *, keep: bool) -> Turn:
    tenant_id, answer = turn.owner.tenant_id, turn.answer
    kept = keep and bool(answer.content)
    row = await conn.fetchrow(sql.BEGIN_AGAIN, answer.id, tenant_id, lease.run_id, lease.seconds, lease.saga_s, kept)
    if row is None:
        raise NotFound("No such answer")
    return Turn(turn.owner, turn.question, sql.plain(row), row["attempt"], turn.kb_ids)


async def _expire(conn: Connection, lease_s: float, conversation_id: UUID | None) -> int:
    rows = await conn.fetch(sql.EXPIRE, Unavailable.code, DeadlineExceeded.code, lease_s, conversation_id)
    facts: list[tuple[UUID, Fact]] = [
        (
            row["tenant_id"],
            ConversationAnswerFailed(
                conversation_id=row["conversation_id"],
                user_id=row["user_id"],
                message_id=row["question_id"],
                answer_id=row["id"],
                seq=row["seq"],
                attempt=row["attempt"],
                code=row["code"],
            ),
        )
        for row in rows
    ]
    await add_events(conn, facts)
    return len(rows)


def _ended(turn: Turn, answer: Message, ending: Ending) -> Fact:
    usage = ending.metadata.get("usage", {})
    elapsed = (answer.completed_at or answer.created_at) - answer.created_at
    facts: dict[str, Any] = {
        "conversation_id": answer.conversation_id,
        "user_id": turn.owner.user_id,
        "message_id": turn.question.id,
        "answer_id": answer.id,
        "seq": answer.seq,
        "attempt": turn.attempt,
        "elapsed_ms": int(elapsed.total_seconds() * 1000),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
    }
    if ending.status == "completed":
        model, degraded = ending.metadata.get("model", ""), tuple(ending.metadata.get("degraded", ()))
        return ConversationAnswerCompleted(**facts, model=model, degraded=degraded)
    if ending.status == "stopped":
        by = "vanished" if ending.metadata.get("reason") == LEFT else "request"
        return ConversationAnswerStopped(**facts, by=by)
    return ConversationAnswerFailed(**facts, code=ending.metadata["error"]["code"])
