"""Conversations on real PostgreSQL: order, leases, what a killed or cut-off process leaves behind."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from voicehelper.conversations import AnswerService, ConversationDirectory, Owner, TurnCompleted, TurnStarted
from voicehelper.conversations.draft import Draft
from voicehelper.conversations.leases import Leases
from voicehelper.conversations.model import Ending
from voicehelper.errors import ConversationBusy, NotFound, Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock, SystemClock
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, Citation
from voicehelper.rag.port import FakeAnswerer
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


def service(pool: Pool, answerer: FakeAnswerer, clock: Any = None, lease_s: float = 10.0) -> AnswerService:
    return AnswerService(
        PostgresConversations(pool),
        PostgresTurns(pool),
        answerer,
        PostgresScopes(pool),
        clock or SystemClock(),
        lease_s=lease_s,
    )


def directory(pool: Pool) -> ConversationDirectory:
    return ConversationDirectory(PostgresConversations(pool), PostgresScopes(pool))


async def begin(pool: Pool, owner: Owner, lease_s: float) -> tuple[UUID, UUID]:
    """A conversation with an answer in work, as a process leaves it that is killed now."""
    conversation = await PostgresConversations(pool).create(owner, "", ())
    turn = await PostgresTurns(pool).begin_turn(owner, conversation.id, "问题", lease_s, 10)
    return conversation.id, turn.answer.id


async def test_the_question_outlives_a_killed_process(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, answer = await begin(pool, owner, 0.2)
    await turns.renew([(answer, "写到一半")], 0.2)
    with pytest.raises(ConversationBusy):
        await turns.begin_turn(owner, conversation, "again", 10, 10)
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


async def test_a_dead_answer_does_not_block_even_without_a_sweep(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, answer = await begin(pool, owner, 0.05)
    await asyncio.sleep(0.1)
    turn = await turns.begin_turn(owner, conversation, "next", 10, 10)
    assert (turn.question.seq, turn.history) == (3, ())
    assert (await repository.messages(owner, conversation, 10, 0))[1].status == "failed"
    assert answer != turn.answer.id


async def test_leases_of_living_answers_are_renewed(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, answer = await begin(pool, owner, 0.2)
    leases = Leases(turns, SystemClock(), 0.2)
    draft = Draft(answer, ["半"])
    with leases.hold(draft):
        for _ in range(4):
            await asyncio.sleep(0.1)
            await leases.tend()
        message = (await repository.messages(owner, conversation, 10, 0))[1]
        assert (message.status, message.content) == ("streaming", "半")
    await asyncio.sleep(0.3)
    await leases.tend()
    assert (await repository.messages(owner, conversation, 10, 0))[1].status == "failed"


async def test_an_answer_that_comes_after_its_lease_is_still_kept(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, answer = await begin(pool, owner, 0.0)
    assert await turns.expire() == 1
    stored = await turns.finish(answer, Ending("completed", "late", (CITATION,), {"outcome": "answered"}))
    assert stored is not None
    assert (stored.status, stored.citations) == ("completed", (CITATION,))
    assert await turns.finish(answer, Ending("failed", "")) is None  # what is completed stays
    assert (await repository.messages(owner, conversation, 10, 0))[1].content == "late"


async def test_storing_an_end_whose_confirmation_was_lost_finds_it_stored(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation, answer = await begin(pool, owner, 30.0)
    first, again = [await turns.finish(answer, Ending("completed", "a")) for _ in range(2)]
    assert first == again is not None
    await repository.delete(owner, conversation)
    assert await turns.finish(answer, Ending("completed", "a")) is None


async def test_a_database_that_is_away_for_a_moment_loses_no_answer(pool: Pool, owner: Owner) -> None:
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    finish, failures = turns.finish, 3

    async def flaky(message_id: UUID, ending: Ending) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable
        return await finish(message_id, ending)

    turns.finish = flaky  # type: ignore[method-assign]
    clock = FakeClock()
    conversations = AnswerService(repository, turns, FakeAnswerer(DONE), PostgresScopes(pool), clock)
    conversation = await directory(pool).create(owner, "", ())
    events = [event async for event in conversations.send(owner, conversation.id, "q")]
    assert isinstance(events[0], TurnStarted)
    assert isinstance(events[-1], TurnCompleted)
    assert events[-1].answer.status == "completed"
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
                async for _ in replicas[number % 2].send(owner, conversation.id, f"q{number}"):
                    pass
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
    repository, turns = PostgresConversations(pool), PostgresTurns(pool)
    conversation = await repository.create(owner, "t", ())
    for number in range(5):
        turn = await turns.begin_turn(owner, conversation.id, f"q{number}", 10, 2)
        status = "stopped" if number == 3 else "completed"
        await turns.finish(turn.answer.id, Ending(status, f"a{number}"))  # type: ignore[arg-type]
    last = await turns.begin_turn(owner, conversation.id, "q5", 10, 2)
    assert [(turn.question, turn.answer) for turn in last.history] == [("q2", "a2"), ("q4", "a4")]


async def test_the_first_question_names_the_conversation_once(pool: Pool, owner: Owner) -> None:
    conversations = service(pool, FakeAnswerer(DONE))
    conversation = await directory(pool).create(owner, "", ())
    for question in ("退款\n多久到账？", "second"):
        async for _ in conversations.send(owner, conversation.id, question):
            pass
    assert (await directory(pool).get(owner, conversation.id)).title == "退款"


async def test_a_null_character_from_a_model_breaks_nothing(pool: Pool, owner: Owner) -> None:
    answerer = FakeAnswerer((AnswerDelta("a\x00b"), AnswerDone("answered")))
    conversations = service(pool, answerer)
    conversation = await directory(pool).create(owner, "", ())
    events = [event async for event in conversations.send(owner, conversation.id, "q")]
    assert isinstance(events[-1], TurnCompleted)
    assert events[-1].answer.content == "ab"


async def test_stopping_the_service_waits_for_endings_in_the_making(pool: Pool, owner: Owner) -> None:
    conversations = service(pool, FakeAnswerer(DONE, delay=60))
    await conversations.start()
    conversation = await directory(pool).create(owner, "", ())
    stream = conversations.send(owner, conversation.id, "q")
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await conversations.stop()
    assert (await directory(pool).messages(owner, conversation.id, 10))[1].status == "stopped"


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
