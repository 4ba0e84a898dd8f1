"""Context windows on real PostgreSQL and Valkey."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from voicehelper.config import ConversationSettings
from voicehelper.conversations import Owner
from voicehelper.conversations.context import CachedContextWindow, SeenTurn, Window
from voicehelper.conversations.summaries import Summaries
from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.ports.chat import FakeChatModel
from voicehelper.ports.clock import SystemClock
from voicehelper.rag.events import PastTurn
from voicehelper.stores.context_cache import RedisContextCache
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.redis import RedisLink, connect_redis

TENANT, CONVERSATION = new_id(), new_id()
TURN = SeenTurn(2, "问", "答", 4)


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    link = connect_redis(redis_url)
    yield link
    await link.close()


@pytest.fixture
def cache(link: RedisLink) -> RedisContextCache:
    return RedisContextCache(link, 100)


async def conversation(pool: Pool, turns: int) -> tuple[Any, Any]:
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    made = await PostgresConversations(pool).create(Owner(user.tenant_id, user.id), "t", ())
    await pool.execute(
        "INSERT INTO messages (id, tenant_id, conversation_id, seq, role, status, content)"
        " SELECT gen_random_uuid(), $1, $2, n, CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END, 'completed',"
        " '手册第' || (n + 1) / 2 || '页' FROM generate_series(1, $3) n",
        user.tenant_id,
        made.id,
        2 * turns,
    )
    return user.tenant_id, made.id


async def test_a_window_comes_back_as_it_was(cache: RedisContextCache, link: RedisLink) -> None:
    window = Window(6, (TURN, SeenTurn(4, "a\n", "\u2028🙂", 2)), "概括", 0, 3)
    assert await cache.get(TENANT, CONVERSATION) is None
    await cache.advance(TENANT, CONVERSATION, window)
    assert await cache.get(TENANT, CONVERSATION) is None  # nothing to go on from
    await cache.put(TENANT, CONVERSATION, window)
    assert await cache.get(TENANT, CONVERSATION) == window
    assert await cache.get(new_id(), CONVERSATION) is None
    key = f"vh:{{{TENANT}}}:context:{CONVERSATION}"
    assert 90 < await link.client.ttl(key) <= 100


async def test_nothing_older_is_written_over_a_window(cache: RedisContextCache) -> None:
    later = Window(8, (TURN,))
    await cache.put(TENANT, CONVERSATION, later)
    for write in (cache.put, cache.advance):
        await write(TENANT, CONVERSATION, Window(6))
    assert await cache.get(TENANT, CONVERSATION) == later
    again = replace(later, turns=(replace(TURN, answer="新的"),))  # the same turn, answered anew
    await cache.advance(TENANT, CONVERSATION, again)
    assert await cache.get(TENANT, CONVERSATION) == again


async def test_a_summary_survives_the_turns_that_follow(cache: RedisContextCache) -> None:
    await cache.summarise(TENANT, CONVERSATION, "概括", 2)
    assert await cache.get(TENANT, CONVERSATION) is None
    await cache.put(TENANT, CONVERSATION, Window(8, (TURN,)))
    await cache.summarise(TENANT, CONVERSATION, "概括", 4)
    await cache.summarise(TENANT, CONVERSATION, "旧的", 2)
    await cache.advance(TENANT, CONVERSATION, Window(10, (TURN,), "", 0))
    assert await cache.get(TENANT, CONVERSATION) == Window(10, (TURN,), "概括", 4)


async def test_a_deleted_conversation_stays_away(cache: RedisContextCache) -> None:
    others = [new_id() for _ in range(3)]
    await cache.put(TENANT, CONVERSATION, Window(8, (TURN,)))
    await cache.bury(TENANT, [CONVERSATION, *others])
    for write in (cache.put, cache.advance):
        await write(TENANT, CONVERSATION, Window(10, (TURN,)))
    await cache.summarise(TENANT, CONVERSATION, "概括", 4)
    assert await cache.get(TENANT, CONVERSATION) is None


async def test_a_server_that_is_away_says_so() -> None:
    link = connect_redis("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable):
        await RedisContextCache(link, 100).get(TENANT, CONVERSATION)
    await link.close()


async def test_database_and_cache_give_the_same_window(pool: Pool, cache: RedisContextCache) -> None:
    tenant, id_ = await conversation(pool, 20)
    store = PostgresContext(pool)
    windows = CachedContextWindow(store, cache, ConversationSettings())
    first = await windows.load(tenant, id_, 41, 1)
    assert [turn.seq for turn in first.turns] == list(range(14, 41, 2))
    assert await windows.load(tenant, id_, 41, 1) == first
    await pool.execute("DELETE FROM messages WHERE conversation_id = $1", id_)
    assert await windows.load(tenant, id_, 41, 1) == first  # from the cache
    await windows.note(tenant, id_, first, (42, 1), PastTurn("新", "新"))
    assert (await windows.load(tenant, id_, 43, 1)).turns[-1].seq == 42


async def test_only_completed_turns_of_the_tenant_count(pool: Pool) -> None:
    tenant, id_ = await conversation(pool, 4)
    await pool.execute("UPDATE messages SET status = 'failed' WHERE seq = 4")
    await pool.execute("UPDATE messages SET status = 'streaming' WHERE seq = 8")
    store = PostgresContext(pool)
    assert [turn.seq for turn in (await store.window(tenant, id_, 9, 10)).turns] == [2, 6]
    assert [turn.seq for turn in (await store.window(tenant, id_, 5, 10)).turns] == [2]
    assert await store.window(new_id(), id_, 9, 10) == Window(8)


async def test_a_summary_moves_from_store_to_window(pool: Pool, cache: RedisContextCache) -> None:
    tenant, id_ = await conversation(pool, 16)
    store, settings = PostgresContext(pool), ConversationSettings()
    windows = CachedContextWindow(store, cache, settings)
    await windows.load(tenant, id_, 33, 1)
    makers = [Summaries(store, cache, FakeChatModel("手册第1页到第6页。"), settings, SystemClock()) for _ in range(3)]
    written = await asyncio.gather(*(maker.update(tenant, id_, 32) for maker in makers))
    assert sum(written) == 1  # of three replicas told of the same answer
    for window in (await windows.load(tenant, id_, 33, 1), await store.window(tenant, id_, 33, 14)):
        assert (window.summary, window.summary_seq) == ("手册第1页到第6页。", 12)
        assert [turn.seq for turn in window.turns] == list(range(14, 33, 2))
    before = await store.window(tenant, id_, 11, 14)  # as of a place that the summary goes beyond
    assert (before.summary, [turn.seq for turn in before.turns]) == ("", [2, 4, 6, 8, 10])
