"""A user's conversations on real PostgreSQL: pages, search, changes, events."""

import asyncio
import json
from typing import Any

import pytest

from voicehelper.conversations import Change, ConversationDirectory, Filter, Owner, Place
from voicehelper.conversations.export import json_document, markdown
from voicehelper.errors import NotFound, VersionConflict
from voicehelper.ids import new_id
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.feedback import PostgresFeedback
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.scopes import PostgresScopes


@pytest.fixture
async def owner(pool: Pool) -> Owner:
    user = await PostgresUsers(pool).create_admin("default", "a@example.com", "x")
    return Owner(user.tenant_id, user.id)


@pytest.fixture
def directory(pool: Pool) -> ConversationDirectory:
    return ConversationDirectory(PostgresConversations(pool), PostgresScopes(pool))


async def say(pool: Pool, owner: Owner, conversation: Any, *texts: str) -> list[Any]:
    """Messages, questions and answers by turns."""
    ids = [new_id() for _ in texts]
    for seq, (id_, text) in enumerate(zip(ids, texts, strict=True), 1):
        await pool.execute(
            "INSERT INTO messages (id, tenant_id, conversation_id, seq, role, status, content)"
            " VALUES ($1, $2, $3, $4, $5, 'completed', $6)",
            id_,
            owner.tenant_id,
            conversation,
            seq,
            "user" if seq % 2 else "assistant",
            text,
        )
    return ids


async def events(pool: Pool) -> list[tuple[str, dict[str, Any]]]:
    query = "SELECT type, payload FROM outbox WHERE type NOT LIKE 'tenant.%' AND type NOT LIKE 'user.%' ORDER BY seq"
    return [(row["type"], row["payload"]) for row in await pool.fetch(query)]


async def test_pages_hold_every_conversation_once(pool: Pool, owner: Owner, directory: ConversationDirectory) -> None:
    made = [(await directory.create(owner, f"c{number}", ())).id for number in range(23)]
    await pool.execute("UPDATE conversations SET updated_at = date_trunc('minute', now())")  # ties are broken by id
    found: list[Any] = []
    after: Place | None = None
    while page := await directory.page(owner, 5, after):
        found += page
        after = Place(page[-1].updated_at, page[-1].id)
    assert [one.id for one in found] == sorted(made, reverse=True)


async def test_search_finds_titles_and_messages_of_ones_own(
    pool: Pool, owner: Owner, directory: ConversationDirectory
) -> None:
    stranger = await PostgresUsers(pool).create_admin("rival", "b@example.com", "x")
    theirs = await directory.create(Owner(stranger.tenant_id, stranger.id), "退货", ())
    titled = await directory.create(owner, "退货怎么办", ())
    spoken = await directory.create(owner, "其他", ())
    await say(pool, owner, spoken.id, "我想退货 100%_折", "Please return the KX-3 first")
    await directory.create(owner, "会员", ())

    async def found(text: str) -> list[Any]:
        return [one.id for one in await directory.page(owner, 10, None, Filter(text))]

    assert await found("退货") == [spoken.id, titled.id]
    assert await found("kx-3") == [spoken.id]
    assert await found("100%_折") == [spoken.id]
    assert await found("0%折") == await found("100_") == await found("\\") == []
    assert theirs.id not in await found("")


async def test_archived_conversations_are_listed_apart(owner: Owner, directory: ConversationDirectory) -> None:
    kept, gone = [await directory.create(owner, title, ()) for title in ("kept", "gone")]
    archived = await directory.change(owner, gone.id, Change(1, archived=True))
    assert archived.archived_at is not None
    assert archived.version == 2
    again = await directory.change(owner, gone.id, Change(2, archived=True))
    assert again.archived_at == archived.archived_at

    async def listed(which: bool | None) -> list[Any]:
        return [one.id for one in await directory.page(owner, 10, None, Filter(archived=which))]

    assert (await listed(False), await listed(True)) == ([kept.id], [gone.id])
    assert await listed(None) == [gone.id, kept.id]
    back = await directory.change(owner, gone.id, Change(3, archived=False))
    assert back.archived_at is None
    assert await listed(True) == []


async def test_of_two_who_rename_at_once_one_wins(owner: Owner, directory: ConversationDirectory) -> None:
    conversation = await directory.create(owner, "before", ())
    changes = [directory.change(owner, conversation.id, Change(1, title=f"t{number}")) for number in range(5)]
    results = await asyncio.gather(*changes, return_exceptions=True)
    won = [result for result in results if not isinstance(result, BaseException)]
    lost = [result for result in results if isinstance(result, VersionConflict)]
    assert (len(won), len(lost)) == (1, 4)
    assert all(conflict.details == {"version": 2} for conflict in lost)
    assert (await directory.get(owner, conversation.id)).title == won[0].title
    with pytest.raises(VersionConflict):
        await directory.change(owner, conversation.id, Change(1))
    assert (await directory.change(owner, conversation.id, Change(2))).version == 2
    with pytest.raises(NotFound):
        await directory.change(owner, new_id(), Change(1, title="x"))


async def test_every_change_tells_its_event(pool: Pool, owner: Owner, directory: ConversationDirectory) -> None:
    conversation = await directory.create(owner, "t", ())
    await directory.change(owner, conversation.id, Change(1, title="u", archived=True))
    with pytest.raises(VersionConflict):
        await directory.change(owner, conversation.id, Change(1, title="v"))
    await directory.delete(owner, conversation.id)
    with pytest.raises(NotFound):
        await directory.delete(owner, conversation.id)
    ids = {"conversation_id": str(conversation.id), "user_id": str(owner.user_id)}
    assert await events(pool) == [
        ("conversation.created", ids),
        ("conversation.updated", {**ids, "changed": ["title", "archived"], "conversation_version": 2}),
        ("conversation.deleted", ids),
    ]


async def test_feedback_is_one_per_answer(pool: Pool, owner: Owner, directory: ConversationDirectory) -> None:
    feedback = PostgresFeedback(pool)
    conversation = (await directory.create(owner, "t", ())).id
    question, answer = await say(pool, owner, conversation, "q", "a")
    first = await feedback.give(owner, conversation, answer, "down", "错了")
    second = await feedback.give(owner, conversation, answer, "up", "")
    assert (second.rating, second.comment, second.created_at) == ("up", "", first.created_at)
    assert [message.rating for message in await directory.messages(owner, conversation, 10)] == [None, "up"]
    for _ in range(2):
        await feedback.withdraw(owner, conversation, answer)
    assert [message.rating for message in await directory.messages(owner, conversation, 10)] == [None, None]
    stranger = Owner(owner.tenant_id, new_id())
    await pool.execute("UPDATE messages SET status = 'streaming' WHERE id = $1", answer)
    for who, what in ((owner, question), (owner, new_id()), (owner, answer), (stranger, answer)):
        with pytest.raises(NotFound):
            await feedback.give(who, conversation, what, "up", "")
        with pytest.raises(NotFound):
            await feedback.withdraw(who, conversation, what)
    types = [type_ for type_, _ in await events(pool)]
    assert types == ["conversation.created", "feedback.given", "feedback.given", "feedback.withdrawn"]


async def test_a_long_conversation_is_exported_whole(
    pool: Pool, owner: Owner, directory: ConversationDirectory
) -> None:
    conversation = await directory.create(owner, "很长", ())
    await pool.execute(
        "INSERT INTO messages (id, tenant_id, conversation_id, seq, role, status, content)"
        " SELECT gen_random_uuid(), $1, $2, n, CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END, 'completed',"
        " '第' || n || '条' || chr(10) || '# 标题' FROM generate_series(1, 1000) n",
        owner.tenant_id,
        conversation.id,
    )

    async def contents():
        async for page in directory.all_messages(owner, conversation.id):
            yield [json.dumps(message.content) for message in page]

    text = "".join([part async for part in json_document({"a": "1", "messages": contents(), "b": contents()})])
    document = json.loads(text)
    assert document["messages"] == document["b"] == [f"第{number}条\n# 标题" for number in range(1, 1001)]
    parts = [part async for part in markdown(conversation, directory.all_messages(owner, conversation.id), "zh-CN")]
    assert len(parts) == 6
    lines = "".join(parts).splitlines()
    assert lines[0] == "# 很长"
    assert sum(line.startswith("## 用户 · ") for line in lines) == 500
    assert lines.count("> # 标题") == 1000
    assert "# 标题" not in lines


async def test_an_empty_conversation_is_exported_too(owner: Owner, directory: ConversationDirectory) -> None:
    conversation = await directory.create(owner, "", ())
    parts = [part async for part in markdown(conversation, directory.all_messages(owner, conversation.id), "en")]
    assert "".join(parts).startswith("# Conversation\n")
    with pytest.raises(NotFound):
        await anext(directory.all_messages(owner, new_id()))
