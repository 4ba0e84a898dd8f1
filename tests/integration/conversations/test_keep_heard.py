"""An interrupted spoken answer on real PostgreSQL: the conversation keeps what was heard."""

import asyncio

import pytest

from voicehelper.config import ConversationSettings
from voicehelper.conversations import AnswerService, Ask, Owner
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.conversations.live_watches import LocalLiveLog
from voicehelper.errors import NotFound
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
