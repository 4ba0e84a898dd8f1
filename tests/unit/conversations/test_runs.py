"""Answers as runs, in virtual time: who keeps them going, what ends them, how they are followed and replayed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.fakes.virtual_time import virtual_time
from voicehelper.conversations import START, AnswerService, Ask, Asked, LiveEvent, Mark, Owner, Turn
from voicehelper.conversations.context import Window
from voicehelper.conversations.live_watches import LocalLiveLog, QueuedWatch
from voicehelper.conversations.model import Message
from voicehelper.conversations.turns import Ending, Lease, Renewal, Repeated, StoredTurn
from voicehelper.errors import InvalidInput, NotFound, Unavailable
from voicehelper.idempotency import WriteKey
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatMessage, ChatRequest, FakeChatModel
from voicehelper.ports.clock import SystemClock
from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerEvent, AnswerStatus, Question
from voicehelper.rag.port import FakeAnswerer

OWNER = Owner(new_id(), new_id())
CONVERSATION = new_id()
AT = datetime(2026, 1, 1, tzinfo=UTC)
SLOW = (*(AnswerDelta(f"{n} ") for n in range(100)), AnswerDone("answered"))


@dataclass
class FakeTurns:
    """One conversation in memory, as several replicas see it."""

    rows: dict[UUID, StoredTurn] = field(default_factory=dict)
    keys: dict[bytes, UUID] = field(default_factory=dict)
    runs: dict[UUID, UUID] = field(default_factory=dict)
    leases: dict[UUID, float] = field(default_factory=dict)
    away: bool = False

    async def begin(
        self, owner: Owner, conversation_id: UUID, ask: Ask, lease: Lease, key: WriteKey | None = None
    ) -> Turn | Repeated:
        if key is not None and key.key_hash in self.keys:
            return Repeated(self.keys[key.key_hash])
        seq = 2 * len(self.rows) + 1
        question = Message(new_id(), conversation_id, seq, "user", "completed", ask.content, AT)
        answer = Message(new_id(), conversation_id, seq + 1, "assistant", "streaming", "", AT)
        turn = Turn(owner, question, answer, 1, (new_id(),))
        self.rows[answer.id] = StoredTurn(turn)
        if key is not None:
            self.keys[key.key_hash] = answer.id
        self._lease(answer.id, lease)
        return turn

    async def begin_again(self, *_arguments: object) -> Turn | Repeated:
        raise NotImplementedError

    async def take_over(self, owner: Owner, conversation_id: UUID, message_id: UUID, lease: Lease) -> Turn | None:
        stored = await self.stored(owner, conversation_id, message_id)
        if not stored.retakable:
            return None
        begun = replace(stored.turn.answer, status="streaming", content="", metadata={})
        turn = replace(stored.turn, answer=begun, attempt=stored.turn.attempt + 1)
        self.rows[message_id] = StoredTurn(turn)
        self._lease(message_id, lease)
        return turn

    async def stored(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        if self.away:
            raise Unavailable
        if message_id not in self.rows or owner != OWNER or conversation_id != CONVERSATION:
            raise NotFound
        stored = self.rows[message_id]
        now = asyncio.get_running_loop().time()
        return replace(stored, lapsed=not stored.ended and self.leases[message_id] <= now)

    async def stored_from(self, owner: Owner, conversation_id: UUID, seq: int, limit: int) -> list[StoredTurn]:
        found = [stored for stored in self.rows.values() if stored.turn.answer.seq >= seq]
        return found[:limit] if seq else found[-1:]

    async def request_stop(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        return await self.stored(owner, conversation_id, message_id)

    async def renew(self, renewals: list[Renewal], lease_s: float) -> dict[UUID, bool]:
        mine = [renewal for renewal in renewals if self.runs[renewal.message_id] == renewal.run_id]
        for renewal in mine:
            self.leases[renewal.message_id] = asyncio.get_running_loop().time() + lease_s
        return {renewal.message_id: False for renewal in mine}

    async def finish(self, turn: Turn, run_id: UUID, ending: Ending) -> Message | None:
        if self.runs[turn.answer.id] != run_id:
            return None
        answer = replace(
            turn.answer,
            status=ending.status,
            content=ending.content,
            citations=ending.citations,
            metadata=ending.metadata,
            completed_at=AT,
        )
        self.rows[answer.id] = StoredTurn(replace(turn, answer=answer), ending.trail, ending.failure)
        return answer

    async def expire(self, lease_s: float) -> int:
        return 0

    def _lease(self, message_id: UUID, lease: Lease) -> None:
        self.runs[message_id] = lease.run_id
        self.leases[message_id] = asyncio.get_running_loop().time() + lease.seconds


class FakeWindow:
    async def load(self, _tenant_id: UUID, _conversation_id: UUID, before_seq: int, _attempt: int | None) -> Window:
        return Window(before_seq - 1)

    async def note(self, *_arguments: object) -> None: ...

    async def forget(self, *_arguments: object) -> None: ...


class FakeScopes:
    async def resolve(self, _tenant_id: UUID, references: Any) -> tuple[UUID, ...]:
        return (new_id(),)


def service(turns: FakeTurns, answerer: Any, log: LocalLiveLog | None = None, **options: float) -> AnswerService:
    return AnswerService(turns, answerer, FakeScopes(), FakeWindow(), SystemClock(), log=log, **options)


async def ask(answers: AnswerService, key: str = "", keep_running: bool = False) -> Asked:
    claim = WriteKey.of(OWNER.tenant_id, OWNER.user_id, key, b"f") if key else None
    return await answers.ask(OWNER, CONVERSATION, Ask("q", keep_running=keep_running), claim)


async def take(asked: Asked, number: int) -> list[LiveEvent]:
    return [await anext(asked.events) for _ in range(number)]


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(true: Callable[[], bool]) -> float:
    """Virtual seconds until it is so."""
    started = now()
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # virtual
    return now() - started


@virtual_time
async def test_a_reader_who_leaves_stops_the_model_within_a_second() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=1.0)
    asked = await ask(service(turns, answerer))
    await take(asked, 3)
    await asked.events.aclose()
    assert 0.4 < await until(lambda: answerer.stopped == 1) < 1.0
    answer = turns.rows[asked.message_id].turn.answer
    assert (answer.status, answer.content, answer.metadata["reason"]) == ("stopped", "0 1 ", "left")


@virtual_time
async def test_a_reader_who_comes_back_in_time_keeps_it_going() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=1.0)
    answers = service(turns, answerer)
    asked = await ask(answers)
    before = await take(asked, 3)
    await asked.events.aclose()
    await asyncio.sleep(0.4)
    rest = [event async for event in answers.follow(OWNER, CONVERSATION, asked.message_id, before[-1].mark)]
    assert [event.mark.number for event in before + rest] == list(range(1, 104))
    assert (rest[-1].name, answerer.stopped) == ("message.completed", 0)


@virtual_time
async def test_nobody_need_read_what_is_kept_running() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=1.0)
    asked = await ask(service(turns, answerer), keep_running=True)
    await asked.events.aclose()
    await asyncio.sleep(110)
    assert turns.rows[asked.message_id].turn.answer.status == "completed"


@virtual_time
async def test_an_answer_nobody_ever_read_ends() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=1.0)
    asked = await ask(service(turns, answerer))
    await asyncio.sleep(1.0)
    assert turns.rows[asked.message_id].turn.answer.status == "stopped"


@virtual_time
async def test_readers_elsewhere_count_as_long_as_they_beat() -> None:
    turns, answerer, shared = FakeTurns(), FakeAnswerer(SLOW, delay=1.0), LocalLiveLog()
    here, there = service(turns, answerer, shared), service(turns, FakeAnswerer(), LocalLiveLog(shared))
    asked = await ask(here)
    await take(asked, 2)
    remote = there.follow(OWNER, CONVERSATION, asked.message_id)
    assert (await anext(remote)).name == "message.created"
    await asked.events.aclose()
    for _ in range(20):
        await anext(remote)
    assert answerer.stopped == 0
    await remote.aclose()
    assert await until(lambda: answerer.stopped == 1) < 1.0


@virtual_time
async def test_a_replica_that_died_with_its_readers_stops_counting() -> None:
    turns, answerer, shared = FakeTurns(), FakeAnswerer(SLOW, delay=1.0), LocalLiveLog()
    here, elsewhere = service(turns, answerer, shared), LocalLiveLog(shared)
    there = service(turns, FakeAnswerer(), elsewhere)
    asked = await ask(here)
    await take(asked, 2)
    remote = there.follow(OWNER, CONVERSATION, asked.message_id)
    await anext(remote)
    await asked.events.aclose()
    await asyncio.sleep(2.0)
    elsewhere.away = True  # nothing of it gets through any more
    assert await until(lambda: answerer.stopped == 1) < 4.0


@virtual_time
async def test_silence_longer_than_the_saga_allows_is_compensated() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=31.0)
    asked = await ask(service(turns, answerer, saga_s=30.0, answer_timeout_s=120.0))
    started = now()
    events = [event async for event in asked.events]
    assert now() - started == pytest.approx(30.0, abs=0.1)
    assert events[-1].name == "error"
    answer = turns.rows[asked.message_id].turn.answer
    assert (answer.status, answer.metadata["error"]) == ("failed", {"code": 50401})
    assert answerer.stopped == 1


@virtual_time
async def test_an_answer_that_never_ends_is_ended() -> None:
    turns, answerer = FakeTurns(), FakeAnswerer(SLOW, delay=5.0)
    asked = await ask(service(turns, answerer, answer_timeout_s=60.0))
    started = now()
    assert [event async for event in asked.events][-1].name == "error"
    assert now() - started == pytest.approx(60.0, abs=0.1)


@virtual_time
async def test_a_dead_writers_answer_is_written_anew_when_its_lease_is_over() -> None:
    turns, shared = FakeTurns(), LocalLiveLog()
    dead = service(turns, FakeAnswerer(SLOW, delay=1000.0), shared, saga_s=5000.0, answer_timeout_s=5000.0)
    living = service(turns, FakeAnswerer((AnswerDelta("new"), AnswerDone("answered"))), LocalLiveLog(shared))
    first = await ask(dead, "k")
    await take(first, 1)  # and renews nothing: its leases were never started
    started = now()
    again = await ask(living, "k")
    assert again.repeated
    events = [event async for event in again.events]
    assert 6.0 <= now() - started < 8.0
    assert [str(event.mark) for event in events] == ["1", "2.1", "2.2", "2.3", "2.4"]
    assert len(turns.rows) == 1
    assert turns.rows[first.message_id].turn.answer.content == "new"


@virtual_time
async def test_what_is_replayed_is_what_was_sent() -> None:
    turns = FakeTurns()
    odd = (AnswerStatus("searching"), AnswerDelta("a\ud83d"), AnswerDelta("\ude00b\x00"), AnswerDelta("\u2028"))
    for events, error in ((odd, Unavailable("away", {"node": "x"}, 2.0)), ((*odd, AnswerDone("answered")), None)):
        answers = service(turns, FakeAnswerer(events, error=error))
        asked = await ask(answers)
        sent = [event async for event in asked.events]
        again = [event async for event in answers.follow(OWNER, CONVERSATION, asked.message_id)]
        assert again == sent
        for place in range(len(sent)):
            rest = answers.follow(OWNER, CONVERSATION, asked.message_id, sent[place].mark)
            assert [event async for event in rest] == sent[place + 1 :]


@virtual_time
async def test_a_crash_of_the_answerer_tells_nothing() -> None:
    turns = FakeTurns()
    asked = await ask(service(turns, FakeAnswerer((), error=RuntimeError("/srv/secret hunter2"))))
    events = [event async for event in asked.events]
    assert events[-1].name == "error"
    assert "hunter2" not in events[-1].data
    assert turns.rows[asked.message_id].turn.answer.metadata["error"] == {"code": 50000}


@virtual_time
async def test_cancelling_reaches_the_chat_model() -> None:
    model = FakeChatModel(reply="很长的回答" * 1000, delay=0.1)

    class FakeThinker:
        async def answer(self, question: Question) -> AsyncIterator[AnswerEvent]:
            async for event in model.stream(ChatRequest((ChatMessage("user", question.text),))):
                if hasattr(event, "text"):
                    yield AnswerDelta(event.text)

    asked = await ask(service(FakeTurns(), FakeThinker()))
    await take(asked, 3)
    await asked.events.aclose()
    assert await until(lambda: model.cancelled == 1) < 1.0


@virtual_time
async def test_a_database_away_under_a_follower_is_waited_for() -> None:
    turns, shared = FakeTurns(), LocalLiveLog()
    here = service(turns, FakeAnswerer(SLOW, delay=4.0), shared, answer_timeout_s=900.0)
    there = service(turns, FakeAnswerer(), LocalLiveLog(shared))
    asked = await ask(here, keep_running=True)
    remote = there.follow(OWNER, CONVERSATION, asked.message_id)
    await anext(remote)
    turns.away = True
    for _ in range(3):
        await anext(remote)
    asyncio.get_running_loop().call_later(2.0, setattr, turns, "away", False)
    assert [event async for event in remote][-1].name == "message.completed"


@virtual_time
async def test_a_watch_that_is_not_read_tells_of_the_gap() -> None:
    watch = QueuedWatch(most=10)
    for number in range(1, 13):
        watch.put(LiveEvent(CONVERSATION, Mark(1, number), "delta", "{}"))
    with pytest.raises(Unavailable):
        await watch.next(1.0)
    event = await watch.next(1.0)
    assert event is not None
    assert event.mark.number >= 11


def test_marks() -> None:
    assert [str(Mark.parse(text)) for text in ("7", "1.7", "2.10", "0")] == ["7", "7", "2.10", "0"]
    assert START < Mark(1, 1) < Mark(1, 10) < Mark(2, 1)
    for text in ("", "x", "1.", ".1", "-1", "1.2.3", "9" * 30, "１"):
        with pytest.raises(InvalidInput):
            Mark.parse(text)
