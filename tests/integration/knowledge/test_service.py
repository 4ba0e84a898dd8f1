"""Uploads, lists, deletions and tenants on a real database."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from voicehelper.errors import (
    Conflict,
    EmptyFile,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Unavailable,
    UnsupportedType,
)
from voicehelper.ports.objects import FakeObjectStore


async def test_upload_stores_the_file_and_queues_it(house: Any) -> None:
    added = await house.upload("政策/退款.md", "一\n二")
    assert added.created
    document = added.document
    assert (document.name, document.status, document.size_bytes, document.live) == ("政策/退款.md", "pending", 7, False)
    assert list(house.objects.blobs.values()) == ["一\n二".encode()]
    assert await house.pool.fetchval("SELECT count(*) FROM object_deletions") == 0
    events = await house.pool.fetch("SELECT type FROM outbox ORDER BY created_at")
    assert [row["type"] for row in events] == ["knowledge_base.created", "document.uploaded"]


async def test_same_content_is_a_no_op(house: Any) -> None:
    first = await house.upload("a.txt", "same")
    again = await house.upload("a.txt", "same")
    assert not again.created
    assert again.document.version_id == first.document.version_id
    assert len(house.objects.blobs) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM document_versions") == 1


async def test_same_content_is_a_no_op_once_indexed(house: Any, tools: Any) -> None:
    first = await house.upload("a.txt", "same")
    async with tools.running(house.full_worker()):
        await house.wait_for(first.document.id)
    again = await house.upload("a.txt", "same")
    assert not again.created
    assert again.document.status == "indexed"


async def test_going_back_to_the_live_content_drops_the_pending_version(house: Any, tools: Any) -> None:
    first = await house.upload("a.txt", "one")
    async with tools.running(house.full_worker()):
        await house.wait_for(first.document.id)
    await house.upload("a.txt", "two")
    back = await house.upload("a.txt", "one")
    assert (back.created, back.document.status, back.document.version_id) == (
        False,
        "indexed",
        first.document.version_id,
    )
    assert await house.queue.length() == 0


async def test_failed_content_may_be_tried_again(house: Any, tools: Any) -> None:
    first = await house.upload("a.txt", "CORRUPT")
    async with tools.running(house.full_worker()):
        await house.wait_for(first.document.id, "failed")
    assert (await house.upload("a.txt", "CORRUPT")).created


async def test_concurrent_uploads_of_one_name_leave_one_newest(house: Any) -> None:
    added = await asyncio.gather(*(house.upload("a.txt", f"content {number}") for number in range(8)))
    assert len({item.document.id for item in added}) == 1
    statuses = await house.pool.fetch("SELECT status, count(*) FROM document_versions GROUP BY status ORDER BY status")
    assert [tuple(row) for row in statuses] == [("pending", 1), ("superseded", 7)]
    await house.trash.sweep(house.objects.delete)
    assert len(house.objects.blobs) == 1


async def test_concurrent_uploads_of_one_content_make_one_version(house: Any) -> None:
    added = await asyncio.gather(*(house.upload("a.txt", "same") for _ in range(8)))
    assert sum(item.created for item in added) == 1
    assert len(house.objects.blobs) == 1


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.txt", b"", EmptyFile),
        ("a.txt", b"x" * 10_001, PayloadTooLarge),
        ("a.exe", b"x", UnsupportedType),
        ("../a.txt", b"x", InvalidInput),
        ("", b"x", InvalidInput),
        ("a\x00.txt", b"x", InvalidInput),
        ("a" * 600 + ".txt", b"x", InvalidInput),
    ],
)
async def test_refused_files_leave_nothing(house: Any, tools: Any, name: str, data: bytes, error: type) -> None:
    with pytest.raises(error):
        await house.service.upload(house.tenant_id, house.kb_id, name, "application/octet-stream", tools.stream(data))
    assert house.objects.blobs == {}
    assert await house.pool.fetchval("SELECT count(*) FROM object_deletions") == 0
    assert await house.pool.fetchval("SELECT count(*) FROM documents") == 0


async def test_an_upload_that_broke_off_is_swept_later(house: Any) -> None:
    async def broken() -> Any:
        yield b"half"
        raise ConnectionResetError

    class Half(FakeObjectStore):
        async def put(self, key: str, data: Any) -> int:
            self.blobs[key] = b"half"
            return await super().put(key, data)

    house.service._objects = house.objects = Half()
    with pytest.raises(ConnectionResetError):
        await house.service.upload(house.tenant_id, house.kb_id, "a.txt", "text/plain", broken())
    assert len(house.objects.blobs) == 1
    assert await house.trash.sweep(house.objects.delete) == 0, "it could still be under way"
    await house.pool.execute("UPDATE object_deletions SET not_before = now()")
    assert await house.trash.sweep(house.objects.delete) == 1
    assert house.objects.blobs == {}


async def test_an_upload_whose_object_was_swept_is_refused(house: Any) -> None:
    class Slow(FakeObjectStore):
        async def put(self, key: str, data: Any) -> int:
            size = await super().put(key, data)
            await house.pool.execute("UPDATE object_deletions SET not_before = now()")
            await house.trash.sweep(self.delete)
            return size

    house.service._objects = house.objects = Slow()
    with pytest.raises(Unavailable):
        await house.upload("a.txt", "x")
    assert await house.pool.fetchval("SELECT count(*) FROM documents") == 0


async def test_sweep_keeps_what_it_could_not_delete(house: Any) -> None:
    async def refuse(key: str) -> None:
        raise Unavailable

    await house.trash.register("a", 0)
    assert await house.trash.sweep(refuse) == 0
    assert await house.pool.fetchval("SELECT count(*) FROM object_deletions") == 1


async def test_delete_document_leaves_nothing(house: Any, tools: Any) -> None:
    kept = await house.upload("kept.txt", "stays")
    added = await house.upload("a.txt", "one\ntwo")
    async with tools.running(house.full_worker()):
        await house.wait_for(added.document.id)
        await house.wait_for(kept.document.id)
        await house.upload("a.txt", "newer")
        await house.service.delete_document(house.tenant_id, added.document.id)
        await tools.until(lambda: _is(set(house.keyword.entries), {kept.document.id}))
        await tools.until(lambda: _is(house.bus.events[-1].type, "document.deleted"))
    await _assert_gone(house, added.document.id)
    assert await house.texts(kept.document.id) == ["stays"]
    with pytest.raises(NotFound):
        await house.document(added.document.id)


async def test_delete_base_leaves_nothing(house: Any, tools: Any) -> None:
    documents = [(await house.upload(f"{number}.txt", f"text {number}")).document.id for number in range(5)]
    async with tools.running(house.full_worker()):
        for document_id in documents:
            await house.wait_for(document_id)
        await house.upload("6.txt", "still pending")
        await house.service.delete_base(house.tenant_id, house.kb_id)
        await tools.until(lambda: _is(set(house.keyword.entries), set()))
    for document_id in documents:
        await _assert_gone(house, document_id)
    assert house.objects.blobs == {}
    assert await house.pool.fetchval("SELECT count(*) FROM knowledge_bases") == 0


async def test_objects_that_cannot_be_deleted_now_are_deleted_by_the_sweep(house: Any) -> None:
    added = await house.upload("a.txt", "one")
    delete = house.objects.delete

    async def refuse(key: str) -> None:
        raise Unavailable

    house.objects.delete = refuse
    await house.service.delete_document(house.tenant_id, added.document.id)
    assert len(house.objects.blobs) == 1
    house.objects.delete = delete
    assert await house.trash.sweep(house.objects.delete) == 1
    assert house.objects.blobs == {}


async def test_deleting_a_base_while_uploading_to_it(house: Any) -> None:
    uploads = [house.upload(f"{number % 3}.txt", f"text {number}") for number in range(12)]
    deletion = house.service.delete_base(house.tenant_id, house.kb_id)
    results = await asyncio.gather(*uploads[:6], deletion, *uploads[6:], return_exceptions=True)
    assert all(
        result is None or not isinstance(result, BaseException) or isinstance(result, NotFound) for result in results
    )
    await house.trash.sweep(house.objects.delete)
    assert house.objects.blobs == {}
    assert await house.pool.fetchval("SELECT count(*) FROM document_versions") == 0


async def test_bases_are_listed_newest_first_in_pages_with_counts(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "one\ntwo")
    async with tools.running(house.full_worker()):
        await house.wait_for(added.document.id)
    await house.upload("b.txt", "pending")
    for number in range(4):
        await house.service.create_base(house.tenant_id, f"base {number}")
    first = await house.service.list_bases(house.tenant_id, limit=3)
    second = await house.service.list_bases(house.tenant_id, first.next_cursor, limit=3)
    assert [base.name for base in (*first.items, *second.items)] == ["base 3", "base 2", "base 1", "base 0", "手册"]
    assert second.next_cursor is None
    assert (second.items[-1].documents, second.items[-1].chunks) == (2, 2)
    with pytest.raises(Conflict):
        await house.service.create_base(house.tenant_id, " 手册 ")
    with pytest.raises(InvalidInput):
        await house.service.list_bases(house.tenant_id, "nonsense")


async def test_documents_are_listed_in_pages_and_by_status(house: Any, tools: Any) -> None:
    bad = await house.upload("bad.txt", "CORRUPT")
    async with tools.running(house.full_worker()):
        await house.wait_for(bad.document.id, "failed")
    for number in range(3):
        await house.upload(f"{number}.txt", f"text {number}")
    page = await house.service.list_documents(house.tenant_id, house.kb_id, limit=2)
    rest = await house.service.list_documents(house.tenant_id, house.kb_id, page.next_cursor, limit=2)
    assert [item.name for item in (*page.items, *rest.items)] == ["2.txt", "1.txt", "0.txt", "bad.txt"]
    failed = await house.service.list_documents(house.tenant_id, house.kb_id, status="failed")
    assert [(item.name, item.reason, item.error) for item in failed.items] == [
        ("bad.txt", "corrupt", "The file is damaged")
    ]


async def test_another_tenant_sees_nothing(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "secret")
    stranger = await tools.make_tenant(house.pool)
    service, kb_id, document_id = house.service, house.kb_id, added.document.id
    attempts = [
        service.get_base(stranger, kb_id),
        service.delete_base(stranger, kb_id),
        service.list_documents(stranger, kb_id),
        service.get_document(stranger, document_id),
        service.delete_document(stranger, document_id),
        service.upload(stranger, kb_id, "a.txt", "", tools.stream(b"mine")),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt
    assert (await service.list_bases(stranger)).items == ()
    assert (await house.document(document_id)).status == "pending"
    assert (await service.create_base(stranger, "手册")).tenant_id == stranger


async def _is(value: object, wanted: object) -> bool:  # a condition for `until`
    return value == wanted


async def _assert_gone(house: Any, document_id: UUID) -> None:
    for table, column in (("documents", "id"), ("document_versions", "document_id"), ("chunks", "document_id")):
        query = f"SELECT count(*) FROM {table} WHERE {column} = $1"
        assert await house.pool.fetchval(query, document_id) == 0, table
    await house.trash.sweep(house.objects.delete)
    alive = await house.pool.fetch("SELECT object_key FROM document_versions")
    assert set(house.objects.blobs) <= {row["object_key"] for row in alive}
