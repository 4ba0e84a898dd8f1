"""Answers given before, on real PostgreSQL and Valkey: until a document changes."""

import asyncio

from voicehelper.config import ConversationSettings
from voicehelper.conversations import AnswerService, Ask, ConversationDirectory, Owner
from voicehelper.conversations.ahead import QuestionsAhead
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.ids import new_id
from voicehelper.ports.clock import SystemClock
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, Citation
from voicehelper.rag.port import FakeAnswerer
from voicehelper.rag.prepared import Key
from voicehelper.rag.remembered import RememberingAnswerer
from voicehelper.stores.context_cache import RedisContextCache
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.revisions import PostgresRevisions
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.stores.postgres.turns import PostgresTurns
from voicehelper.stores.redis import connect_redis
from voicehelper.stores.remembered import RedisAnswerMemory

CITATION = Citation(1, 0, 6, new_id(), new_id(), "a.md", 3, ("退货",), "七天内可退", 0.5)
TRACE = {"finish": "stop", "unsupported": False, "invented_numbers": []}
EVENTS = (AnswerDelta("七天内可退。"), AnswerCitations((CITATION,)), AnswerDone("answered", model="m", trace=TRACE))
SPOKEN = {"speech": {"language": "zh", "duration_ms": 900}}


async def _document(pool: Pool, owner: Owner) -> None:
    async with pool.acquire() as conn:
        await conn.execute("SET app.tenant_id = ''")
        kb = await conn.fetchval("SELECT id FROM knowledge_bases WHERE tenant_id = $1 LIMIT 1", owner.tenant_id)
        if kb is None:
            kb = new_id()
            await conn.execute(
                "INSERT INTO knowledge_bases (id, tenant_id, name) VALUES ($1, $2, 'x')", kb, owner.tenant_id
            )
        await conn.execute(
            "INSERT INTO documents (id, tenant_id, kb_id, name, live_version_id) VALUES ($1, $2, $3, $4, $5)",
            new_id(), owner.tenant_id, kb, str(new_id()), new_id(),
        )  # fmt: skip


async def test_known_answers_and_what_is_prepared(pool: Pool, redis_url: str) -> None:
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    owner, link = Owner(user.tenant_id, user.id), connect_redis(redis_url)
    await _document(pool, owner)
    inner = FakeAnswerer(EVENTS)
    answerer = RememberingAnswerer(inner, RedisAnswerMemory(link, 60), PostgresRevisions(pool), "spoken", "m")
    window = CachedContextWindow(PostgresContext(pool), RedisContextCache(link, 60), ConversationSettings())
    turns, scopes, conversations = PostgresTurns(pool), PostgresScopes(pool), PostgresConversations(pool)
    answers = AnswerService(turns, answerer, scopes, window, SystemClock())
    ahead = QuestionsAhead(ConversationDirectory(conversations, scopes, window), turns, scopes, window, answerer)

    async def ask(content: str) -> dict:
        conversation = await conversations.create(owner, "", ())
        asked = await answers.ask(owner, conversation.id, Ask(content, metadata=SPOKEN))
        assert [event async for event in asked.events][-1].name == "message.completed"
        await asyncio.sleep(0.05)
        stored = (await conversations.messages(owner, conversation.id, 10, 0))[1]
        assert stored.citations == (CITATION,)
        return stored.metadata

    try:
        assert "remembered" not in await ask("怎么退货？")
        assert (await ask("怎么退货"))["remembered"] is True
        assert len(inner.questions) == 1
        await _document(pool, owner)
        assert "remembered" not in await ask("怎么退货")
        assert len(inner.questions) == 2

        # What is prepared is known again as what is then asked, also in the middle of a conversation.
        conversation = await conversations.create(owner, "", ())
        for content in ("会员怎么升级？", "那要多少钱呢？"):
            await ahead.prepare(owner, conversation.id, content)
            asked = await answers.ask(owner, conversation.id, Ask(content, metadata=SPOKEN))
            assert [event async for event in asked.events]
            assert Key.of(inner.prepared[-1]) == Key.of(inner.questions[-1])
        assert inner.questions[-1].history
    finally:
        await link.close()
