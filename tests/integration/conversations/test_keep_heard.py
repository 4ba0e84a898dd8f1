"""An interrupted spoken answer on real PostgreSQL: the conversation keeps what was heard."""

import asyncio

import orjson
import pytest

from voicehelper.config import ConversationSettings
from voicehelper.conversations import AnswerService, Ask, Owner
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.conversations.live_watches import LocalLiveLog
from voicehelper.errors import NotFound
from voicehelper.idempotency.model import WriteKey
from voicehelper.ids import new_id
from voicehelper.ports.clock import SystemClock
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, Citation
from voicehelper.rag.port import FakeAnswerer
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.stores.postgres.turns import PostgresTurns


class NoCache:
    """Remembers nothing."""

    async def get(self, *_arguments):
        return None

    async def put(self, *_arguments): ...

    async def advance(self, *_arguments): ...


@pytest.fixture
async def owner(pool: Pool) -> Owner:
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    return Owner(user.tenant_id, user.id)


def cited(start, end):
    return Citation(1, start, end, new_id(), new_id(), "a.md", None, (), "quote", 0.5)


TEXT = "退货要在七天内申请。运费由您承担。"
SCRIPT = (AnswerDelta(TEXT[:10]), AnswerDelta(TEXT[10:]), AnswerCitations((cited(0, 10), cited(10, 17))))


def service(pool, answerer, log=None):
    context = CachedContextWindow(PostgresContext(pool), NoCache(), ConversationSettings())
    return AnswerService(PostgresTurns(pool), answerer, PostgresScopes(pool), context, SystemClock(), log=log)


async def test_a_completed_answer_is_cut_and_the_next_question_sees_what_is_left(pool: Pool, owner: Owner) -> None:
    answerer = FakeAnswerer((*SCRIPT, AnswerDone("answered", model="fake")))
    answers = service(pool, answerer)
    conversation = await PostgresConversations(pool).create(owner, "", ())
    asked = await answers.ask(owner, conversation.id, Ask("怎么退货？"))
    assert [event async for event in asked.events][-1].name == "message.completed"
    kept = await answers.keep_heard(owner, conversation.id, asked.message_id, 10)
    assert kept.content == TEXT[:10]
    messages = await PostgresConversations(pool).messages(owner, conversation.id, 10, 0)
    assert messages[1].content == TEXT[:10]
    assert len(messages[1].citations) == 1
    assert messages[1].metadata["heard"] == {"chars": 10, "of": 17}
    followed = [event async for event in answers.follow(owner, conversation.id, asked.message_id)]
    assert followed[-1].mark.attempt == 2
    assert TEXT[10:] not in "".join(event.data for event in followed)
    asked = await answers.ask(owner, conversation.id, Ask("运费呢？"))
    assert [event async for event in asked.events]
    assert answerer.questions[-1].history[0].answer == TEXT[:10]
    with pytest.raises(NotFound):
        await answers.keep_heard(owner, conversation.id, new_id(), 3)


async def test_an_answer_being_written_is_stopped_and_cut(pool: Pool, owner: Owner) -> None:
    answerer = FakeAnswerer((*SCRIPT[:2], AnswerDelta("……"), AnswerDone("answered")), delay=0.2)
    log = LocalLiveLog()
    answers = service(pool, answerer, log)
    conversation = await PostgresConversations(pool).create(owner, "", ())
    async with answers.watch(owner, conversation.id) as events:
        asked = await answers.ask(owner, conversation.id, Ask("怎么退货？"))
        seen = [await anext(asked.events) for _ in range(3)]
        assert seen[-1].name == "delta"
        kept = await answers.keep_heard(owner, conversation.id, asked.message_id, 4)
        assert (kept.status, kept.content) == ("stopped", TEXT[:4])
        async with asyncio.timeout(5):
            async for event in events:
                if event.mark.attempt == 2 and event.last:
                    break
    assert answerer.stopped == 1
    answerer.events = (AnswerDelta("好"), AnswerDone("answered"))
    asked = await answers.ask(owner, conversation.id, Ask("运费呢？"))
    assert [event async for event in asked.events]
    assert answerer.questions[-1].history[0].answer == TEXT[:4]


async def test_an_unheard_question_that_was_gone_on_with_leaves_the_conversation(pool: Pool, owner: Owner) -> None:
    answerer, conversations = FakeAnswerer((AnswerDelta("嗯"),), delay=0.3), PostgresConversations(pool)
    answers = service(pool, answerer)
    conversation = await conversations.create(owner, "", ())
    first = await answers.ask(owner, conversation.id, Ask("我想退货"))
    seen = await anext(first.events)
    await answers.keep_heard(owner, conversation.id, first.message_id, 0)
    answerer.events, answerer.delay = (AnswerDelta("好"), AnswerDone("answered")), 0.0
    key = WriteKey.of(owner.tenant_id, owner.user_id, "call:2", b"voice")
    merged = Ask("我想退货，要多久？", withdraws=first.message_id, metadata={"speech": {"language": "zh"}})
    async with answers.watch(owner, conversation.id) as events:
        asked = await answers.ask(owner, conversation.id, merged, key)
        assert (await anext(asked.events)).name == "message.created"
        async with asyncio.timeout(5):  # who saw the withdrawn one is told which they were
            told = orjson.loads((await anext(events)).data)["question"]
    assert str(first.message_id) in told["metadata"]["replaces"] and len(told["metadata"]["replaces"]) == 2
    assert [event async for event in asked.events][-1].name == "message.completed"
    again = await answers.ask(owner, conversation.id, merged, key)
    assert (again.repeated, again.message_id) == (True, asked.message_id)
    messages = await conversations.messages(owner, conversation.id, 10, 0)
    assert [message.content for message in messages] == ["我想退货，要多久？", "好"]
    assert messages[0].metadata["speech"] == {"language": "zh"}
    assert (await conversations.get(owner, conversation.id)).title == "我想退货，要多久？"
    next_one = await answers.ask(owner, conversation.id, Ask("运费呢？"))
    assert [event async for event in next_one.events]
    assert [turn.question for turn in answerer.questions[-1].history] == ["我想退货，要多久？"]
    async with answers.watch(owner, conversation.id, first.message_id, seen.mark) as events, asyncio.timeout(5):
        assert (await anext(events)).message_id == next_one.message_id


async def test_what_was_heard_or_is_another_conversations_is_not_withdrawn(pool: Pool, owner: Owner) -> None:
    answerer, conversations = FakeAnswerer((*SCRIPT, AnswerDone("answered"))), PostgresConversations(pool)
    answers = service(pool, answerer)
    conversation, other = [await conversations.create(owner, "", ()) for _ in range(2)]
    first = await answers.ask(owner, conversation.id, Ask("怎么退货？"))
    assert [event async for event in first.events]
    await answers.keep_heard(owner, conversation.id, first.message_id, 2)
    for where in (conversation, other):
        asked = await answers.ask(owner, where.id, Ask("怎么退货？急。", withdraws=first.message_id))
        assert [event async for event in asked.events]
    messages = await conversations.messages(owner, conversation.id, 10, 0)
    assert [message.content for message in messages][:3] == ["怎么退货？", TEXT[:2], "怎么退货？急。"]
    assert "replaces" not in messages[2].metadata
    assert len(await conversations.messages(owner, other.id, 10, 0)) == 2
