"""Conversations on real PostgreSQL: order, leases, what a killed or cut-off process leaves behind."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from voicehelper.conversations import AnswerService, Ask, ConversationDirectory, LiveEvent, Owner, Turn
from voicehelper.conversations.context import Window
from voicehelper.conversations.leases import Leases
from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.turns import Ending, Lease, Renewal
from voicehelper.errors import ConversationBusy, DeadlineExceeded, NotFound, Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock, SystemClock
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, Citation
from voicehelper.rag.port import FakeAnswerer
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.stores.postgres.turns import PostgresTurns

CITATION = Citation(1, 0, 2, new_id(), new_id(), "a.md", None, (), "quote", 0.5)
DONE = (AnswerDelta("好的"), AnswerCitations((CITATION,)), AnswerDone("answered", model="fake"))


@pytest.fixture
async def owner(pool: Pool) -> Owner:
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    return Owner(user.tenant_id, user.id)


class FakeWindow:
    """A conversation without a past."""

    async def load(self, _tenant_id: UUID, _conversation_id: UUID, before_seq: int, _attempt: int | None) -> Window:
        return Window(before_seq - 1)

    async def note(self, *_arguments: object) -> None:
        pass

    async def forget(self, *_arguments: object) -> None:
        pass


def service(
    pool: Pool, answerer: FakeAnswerer, clock: Any = None, lease_s: float = 10.0, turns: Any = None
) -> AnswerService:
    scopes, clock = PostgresScopes(pool), clock or SystemClock()
    return AnswerService(turns or PostgresTurns(pool), answerer, scopes, FakeWindow(), clock, lease_s=lease_s)


async def ask(answers: AnswerService, owner: Owner, conversation_id: UUID, content: str) -> list[LiveEvent]:
    asked = await answers.ask(owner, conversation_id, Ask(content))
    return [event async for event in asked.events]


def lease(seconds: float) -> Lease:
    return Lease(new_id(), seconds)


def directory(pool: Pool) -> ConversationDirectory:
    return ConversationDirectory(PostgresConversations(pool), PostgresScopes(pool))


async def begin(pool: Pool, owner: Owner, lease_s: float) -> tuple[UUID, Turn, UUID]:
    """A conversation with an answer in work, as a process leaves it that is killed now; and the process's run."""
    conversation = await PostgresConversations(pool).create(owner, "", ())
    held = lease(lease_s)
    turn = await PostgresTurns(pool).begin(owner, conversation.id, Ask("问题"), held)
    assert isinstance(turn, Turn)
    return conversation.id, turn, held.run_id


async def test_the_question_outlives_a_killed_process(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, turn, run = await begin(pool, owner, 0.2)
    assert await turns.renew([Renewal(turn.answer.id, run, "写到一半", (4,), 9.0)], 0.2) == {turn.answer.id: False}
    with pytest.raises(ConversationBusy) as busy:
        await turns.begin(owner, conversation, Ask("again"), lease(10))
    assert busy.value.details == {"message_id": str(turn.answer.id)}
    assert busy.value.retry_after
    await asyncio.sleep(0.3)
    survivor = service(pool, FakeAnswerer(DONE), lease_s=0.3)
    await survivor.start()
    try:
        async with asyncio.timeout(5):
            while (await repository.messages(owner, conversation, 10, 0))[1].status == "streaming":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        await survivor.stop()
    question, lost = await repository.messages(owner, conversation, 10, 0)
    assert (question.content, question.status) == ("问题", "completed")
    assert (lost.status, lost.content) == ("failed", "写到一半")
    assert lost.metadata == {"outcome": "failed", "error": {"code": Unavailable.code}}
    types = await pool.fetch("SELECT type, payload FROM outbox WHERE type LIKE 'conversation.%' ORDER BY seq")
    assert [row["type"] for row in types][-2:] == ["conversation.message_sent", "conversation.answer_failed"]
    assert types[-1]["payload"]["code"] == Unavailable.code


async def test_an_answer_from_which_nothing_comes_is_compensated(pool: Pool, owner: Owner) -> None:
    conversation = await PostgresConversations(pool).create(owner, "", ())
    turns = PostgresTurns(pool)
    await turns.begin(owner, conversation.id, Ask("q"), Lease(new_id(), 60.0, saga_s=0.05))
    await asyncio.sleep(0.1)
    assert await turns.expire(0.0) == 1
    answer = (await directory(pool).messages(owner, conversation.id, 10))[1]
    assert (answer.status, answer.metadata["error"]) == ("failed", {"code": DeadlineExceeded.code})


async def test_a_dead_answer_does_not_block_even_without_a_sweep(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, dead, _ = await begin(pool, owner, 0.05)
    await asyncio.sleep(0.1)
    turn = await turns.begin(owner, conversation, Ask("next"), lease(10))
    assert isinstance(turn, Turn)
    assert turn.question.seq == 3
    assert (await repository.messages(owner, conversation, 10, 0))[1].status == "failed"
    assert dead.answer.id != turn.answer.id


async def test_leases_of_living_answers_are_renewed(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, turn, run_id = await begin(pool, owner, 0.2)
    run = AnswerRun(turn, run_id, lambda _event: None, keep_running=True, grace_s=1.0)
    run.take(AnswerDelta("半"))
    runs = {turn.answer.id: run}
    leases = Leases(turns, runs, SystemClock(), 0.2)
    for _ in range(4):
        await asyncio.sleep(0.1)
        await leases.tend()
    message = (await repository.messages(owner, conversation, 10, 0))[1]
    assert (message.status, message.content) == ("streaming", "半")
    await pool.execute("UPDATE messages SET stop_requested = true WHERE id = $1", turn.answer.id)
    await leases.tend()
    assert run.reason == "asked"  # also while Redis is away
    runs.clear()
    await asyncio.sleep(0.3)
    await leases.tend()
    assert (await repository.messages(owner, conversation, 10, 0))[1].status == "failed"


async def test_an_answer_that_comes_after_its_lease_is_still_kept(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, turn, run = await begin(pool, owner, 0.0)
    assert await turns.expire(0.0) == 1
    stored = await turns.finish(turn, run, Ending("completed", "late", (CITATION,), {"outcome": "answered"}))
    assert stored is not None
    assert (stored.status, stored.citations) == ("completed", (CITATION,))
    assert await turns.finish(turn, run, Ending("failed", "", (), {"error": {"code": 50000}})) is None  # it stays
    assert (await repository.messages(owner, conversation, 10, 0))[1].content == "late"


async def test_storing_an_end_whose_confirmation_was_lost_finds_it_stored(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, turn, run = await begin(pool, owner, 30.0)
    first, again = [await turns.finish(turn, run, Ending("completed", "a")) for _ in range(2)]
    assert first == again is not None
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE type = 'conversation.answer_completed'") == 1
    await repository.delete(owner, conversation)
    with pytest.raises(NotFound):
        await turns.finish(turn, run, Ending("completed", "a"))


async def test_an_answer_taken_over_is_no_longer_the_first_writers(pool: Pool, owner: Owner) -> None:
    turns = PostgresTurns(pool)
    conversation, turn, run = await begin(pool, owner, 0.0)
    held = lease(10)
    taken = await turns.take_over(owner, conversation, turn.answer.id, held)
    assert taken is not None
    assert (taken.attempt, taken.answer.id) == (2, turn.answer.id)
    assert await turns.take_over(owner, conversation, turn.answer.id, lease(10)) is None
    assert await turns.renew([Renewal(turn.answer.id, run, "x", (), 9.0)], 10) == {}
    assert await turns.finish(turn, run, Ending("completed", "old")) is None
    stored = await turns.finish(taken, held.run_id, Ending("completed", "new"))
    assert stored is not None
    assert stored.content == "new"
    assert len(await directory(pool).messages(owner, conversation, 10)) == 2


async def test_a_database_that_is_away_for_a_moment_loses_no_answer(pool: Pool, owner: Owner) -> None:
    turns = PostgresTurns(pool)
    finish, failures = turns.finish, 3

    async def flaky(turn: Turn, run_id: UUID, ending: Ending) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable
        return await finish(turn, run_id, ending)

    turns.finish = flaky  # type: ignore[method-assign]
    clock = FakeClock()
    answers = service(pool, FakeAnswerer(DONE), clock, turns=turns)
    conversation = await directory(pool).create(owner, "", ())
    events = await ask(answers, owner, conversation.id, "q")
    assert [event.name for event in events][::4] == ["message.created", "message.completed"]
    assert clock.time > 1_700_000_000.0


async def test_two_replicas_take_turns(pool: Pool, owner: Owner) -> None:
    """Many senders through two services: every turn is whole, numbered without gaps, never two at once."""
    replicas = [service(pool, FakeAnswerer(DONE, delay=0.005)) for _ in range(2)]
    conversation = await directory(pool).create(owner, "", ())
    busy = 0

    async def send(number: int) -> None:
        nonlocal busy
        while True:
            try:
                await ask(replicas[number % 2], owner, conversation.id, f"q{number}")
                return
            except ConversationBusy:
                busy += 1
                await asyncio.sleep(0.01)

    await asyncio.gather(*(send(number) for number in range(10)))
    messages = await directory(pool).messages(owner, conversation.id, 100)
    assert [message.seq for message in messages] == list(range(1, 21))
    assert [message.role for message in messages] == ["user", "assistant"] * 10
    assert all(message.status == "completed" for message in messages)
    assert busy > 0


async def test_history_is_the_last_finished_turns(pool: Pool, owner: Owner) -> None:
    turns, context = PostgresTurns(pool), PostgresContext(pool)
    conversation = await PostgresConversations(pool).create(owner, "t", ())
    for number in range(5):
        held = lease(10)
        turn = await turns.begin(owner, conversation.id, Ask(f"q{number}"), held)
        assert isinstance(turn, Turn)
        status = "stopped" if number == 3 else "completed"
        await turns.finish(turn, held.run_id, Ending(status, f"a{number}"))  # type: ignore[arg-type]
    window = await context.window(owner.tenant_id, conversation.id, 11, 2)
    assert [(turn.question, turn.answer) for turn in window.turns] == [("q2", "a2"), ("q4", "a4")]


async def test_the_first_question_names_the_conversation_once(pool: Pool, owner: Owner) -> None:
    answers = service(pool, FakeAnswerer(DONE))
    conversation = await directory(pool).create(owner, "", ())
    for question in ("退款\n多久到账？", "second"):
        await ask(answers, owner, conversation.id, question)
    assert (await directory(pool).get(owner, conversation.id)).title == "退款"


async def test_a_null_character_from_a_model_breaks_nothing(pool: Pool, owner: Owner) -> None:
    answers = service(pool, FakeAnswerer((AnswerDelta("a\x00b"), AnswerDone("answered"))))
    conversation = await directory(pool).create(owner, "", ())
    events = await ask(answers, owner, conversation.id, "q")
    assert events[-1].name == "message.completed"
    assert (await directory(pool).messages(owner, conversation.id, 10))[1].content == "ab"


async def test_stopping_the_service_stores_the_end_of_what_it_was_writing(pool: Pool, owner: Owner) -> None:
    """Its readers can have the answer written by another replica at once."""
    answerer = FakeAnswerer(DONE, delay=60)
    answers = service(pool, answerer)
    await answers.start()
    conversation = await directory(pool).create(owner, "", ())
    asked = await answers.ask(owner, conversation.id, Ask("q"))
    assert (await anext(asked.events)).name == "message.created"
    await answers.stop()
    assert [event.name async for event in asked.events] == ["error"]
    answer = (await directory(pool).messages(owner, conversation.id, 10))[1]
    assert (answer.status, answer.metadata["error"]) == ("failed", {"code": Unavailable.code})


async def test_scopes_resolve_names_and_ids_of_the_tenant(pool: Pool, owner: Owner) -> None:
    scopes, ids = PostgresScopes(pool), [new_id(), new_id()]
    for kb_id, name in zip(ids, ("售后", str(ids[0])), strict=True):  # the second is named like the first's id
        await pool.execute(
            "INSERT INTO knowledge_bases (id, tenant_id, name) VALUES ($1, $2, $3)", kb_id, owner.tenant_id, name
        )
    assert await scopes.resolve(owner.tenant_id, ()) == tuple(ids)
    assert await scopes.resolve(owner.tenant_id, ("售后", str(ids[1]), "售后")) == tuple(ids)
    assert await scopes.resolve(owner.tenant_id, (str(ids[0]),)) == (ids[0],)
    with pytest.raises(NotFound):
        await scopes.resolve(owner.tenant_id, ("售后", "无"))
    with pytest.raises(NotFound):
        await scopes.resolve(new_id(), ("售后",))
