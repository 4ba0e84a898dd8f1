"""The keyword follower: order of commits, take-over, rebuilds, several indexes, and a real index."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.knowledge.follower import KeywordFollower
from voicehelper.ports.events import FakeEventBus
from voicehelper.ports.search import Scope
from voicehelper.stores.postgres.keyword_feed import record_changes
from voicehelper.stores.tantivy import KeywordWriter, TantivyKeywordIndex


async def store(house: Any, name: str, *lines: str) -> Any:
    """A document with its chunks in place, to be followed."""
    added = await house.upload(name, "\n".join(lines))
    claim = await house.queue.take(added.document.version_id, "test", 10)
    assert await house.queue.store("test", claim, await house.embedded(*lines))
    return added.document


async def test_it_applies_changes_and_finishes_versions(house: Any, tools: Any) -> None:
    document = await store(house, "a.txt", "one", "two")
    assert (await house.document(document.id)).status == "processing"
    async with tools.running(house.follower()):
        await house.wait_for(document.id)
        other = await store(house, "b.txt", "three")
        await house.wait_for(other.id)
    assert house.keyword.entries == {document.id: ["one", "two"], other.id: ["three"]}


async def test_sequence_numbers_follow_the_order_of_commits(house: Any) -> None:
    order: list[int] = []

    async def change(delay: float) -> None:
        async with house.pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT pg_sleep($1)", delay)
            seq = await record_changes(conn, house.tenant_id, house.kb_id, [new_id()])
            seen = await house.feed.changes(0, 1000)
            assert all(item.seq < seq for item in seen), "somebody with a later number was faster"
            order.append(seq)

    await asyncio.gather(*(change(0.05 - number / 200) for number in range(7)))
    assert order == sorted(order)


async def test_a_failed_commit_is_done_again(house: Any, tools: Any) -> None:
    house.keyword.broken = 2
    document = await store(house, "a.txt", "one")
    async with tools.running(house.follower()):
        await house.wait_for(document.id)
    assert house.keyword.entries == {document.id: ["one"]}


async def test_the_next_follower_takes_over_and_goes_on(house: Any, tools: Any) -> None:
    busy = True

    def taken() -> Any:
        if busy:
            raise Unavailable
        return house.keyword.open()

    document = await store(house, "a.txt", "one")
    async with tools.running(KeywordFollower(house.feed, taken, "here")):
        async with tools.running(house.follower()):
            await house.wait_for(document.id)
        writes = house.keyword.writes
        other = await store(house, "b.txt", "two")
        await asyncio.sleep(0.2)
        assert (await house.document(other.id)).status == "processing"
        busy = False
        await house.wait_for(other.id)
    assert house.keyword.writes == writes + 1, "what was applied is not applied again"


async def test_an_empty_index_is_rebuilt(house: Any, tools: Any) -> None:
    documents = [await store(house, f"{number}.txt", f"text {number}") for number in range(45)]
    async with tools.running(house.follower()):
        await house.wait_for(documents[-1].id)
    entries = house.keyword.entries
    house.keyword.entries, house.keyword.applied_seq = {}, 0
    async with tools.running(house.follower()):
        await tools.until(lambda: _equal(house.keyword.entries, entries))


async def test_changes_are_kept_for_an_index_that_is_built_and_pruned_once_applied(house: Any, tools: Any) -> None:
    first = await store(house, "a.txt", "one")
    async with tools.running(house.follower()):
        await house.wait_for(first.id)
    await house.feed.register("slow")
    await store(house, "b.txt", "two")
    async with tools.running(house.follower()):
        await tools.until(lambda: _count(house, "document_versions WHERE status = 'indexed'", 2))
    await house.feed.prune()
    assert await house.pool.fetchval("SELECT count(*) FROM keyword_changes") == 2
    await house.feed.report("slow", 2)
    await house.feed.prune()
    assert [change.seq for change in await house.feed.changes(0, 10)] == [2], "the newest stays as the head"


async def test_indexed_means_in_every_running_index(house: Any, tools: Any) -> None:
    other = tools.FakeKeywordIndex()
    document = await store(house, "a.txt", "one")
    await house.feed.report("there", 0)
    async with tools.running(house.follower()):
        await tools.until(lambda: _equal(house.keyword.entries, {document.id: ["one"]}))
        await asyncio.sleep(0.1)
        assert (await house.document(document.id)).status == "processing"
        async with tools.running(house.follower("there", other)):
            await house.wait_for(document.id)
    assert other.entries == house.keyword.entries


async def test_an_index_that_is_gone_does_not_hold_others_up(house: Any, tools: Any) -> None:
    document = await store(house, "a.txt", "one")
    await house.feed.report("gone", 0)
    await house.pool.execute("UPDATE keyword_followers SET seen_at = now() - interval '16 s' WHERE name = 'gone'")
    async with tools.running(house.follower()):
        await house.wait_for(document.id)


async def test_with_a_real_index(house: Any, tools: Any, tmp_path: Path) -> None:
    index = TantivyKeywordIndex(tmp_path)
    follower = KeywordFollower(house.feed, lambda: KeywordWriter(tmp_path), "real")
    second = KeywordFollower(house.feed, lambda: KeywordWriter(tmp_path), "real")
    document = await store(house, "退款.md", "退款将在三个工作日内原路退回", "发货时间为每天下午")
    async with tools.running(follower, second):
        await house.wait_for(document.id)
        hits = await index.search(house.scope, "退款多久到账", 5)
        (passage,) = await house.passages.fetch(house.scope, [hits[0].chunk_id])
        assert passage.text == "退款将在三个工作日内原路退回"
        (neighbour,) = await house.passages.neighbours(house.scope, passage, 1, 1)
        assert neighbour.text == "发货时间为每天下午"
        stranger = Scope(new_id(), (house.kb_id,))
        assert await house.passages.fetch(stranger, [hits[0].chunk_id]) == []
        newer = await store(house, "退款.md", "退款政策已经取消")
        await house.wait_for(newer.id)
        fresh = await index.search(house.scope, "退款", 5)
        assert not {hit.chunk_id for hit in hits} & {hit.chunk_id for hit in fresh}
        assert await house.passages.fetch(house.scope, [hits[0].chunk_id]) == []
        await house.service.delete_document(house.tenant_id, document.id)
        await tools.until(lambda: _finds_nothing(index, house))


async def test_the_relay_waits_for_the_bus_and_keeps_the_order(house: Any) -> None:
    for number in range(5):
        await house.upload(f"{number}.txt", f"text {number}")

    class Refusing(FakeEventBus):
        async def publish(self, events: Any, mark: int = 0) -> None:
            raise Unavailable

    with pytest.raises(Unavailable):
        await house.outbox.relay(Refusing())
    assert (await house.outbox.relay(house.bus, 4)).published == 4
    assert (await house.outbox.relay(house.bus)).published == 2
    types = [event.type for event in house.bus.events]
    assert types == ["knowledge_base.created"] + ["document.uploaded"] * 5
    assert (await house.outbox.relay(house.bus)).published == 0
    await house.outbox.prune(-1)
    assert await house.pool.fetchval("SELECT count(*) FROM outbox") == 0


async def _equal(value: object, wanted: object) -> bool:
    return value == wanted


async def _count(house: Any, table: str, wanted: int) -> bool:
    return bool(await house.pool.fetchval(f"SELECT count(*) FROM {table}") == wanted)


async def _finds_nothing(index: TantivyKeywordIndex, house: Any) -> bool:
    try:
        return await index.search(house.scope, "退款", 5) == []
    except Unavailable:
        return True
