"""Indexing: the way of a document, crashes at every stage, leases, outages."""

import asyncio
from copy import copy
from typing import Any

import pytest

from voicehelper.config import IndexingSettings
from voicehelper.errors import ModelUnavailable, Unavailable
from voicehelper.ports.embedder import FakeEmbedder


class Killed(BaseException):
    """Stands for a kill -9: nothing catches it, nothing is cleaned up."""


async def test_a_document_becomes_indexed(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "第一行\n第二行\n第三行")
    async with tools.running(house.full_worker()):
        document = await house.wait_for(added.document.id)
        await tools.until(lambda: _has_event(house, "document.indexed"))
    assert (document.chunk_count, document.page_count, document.attempts, document.live) == (3, 1, 1, True)
    assert await house.texts(document.id) == ["第一行", "第二行", "第三行"]
    assert house.keyword.entries == {document.id: ["第一行", "第二行", "第三行"]}
    event = house.bus.events[-1]
    assert event.tenant_id == house.tenant_id
    assert event.payload["chunk_count"] == 3
    assert event.payload["document_id"] == str(document.id)
    row = await house.pool.fetchrow("SELECT * FROM chunks ORDER BY position LIMIT 1")
    assert (row["page"], row["heading"], row["char_end"], row["embedding_model"]) == (
        1, ["标题", "a.txt"], 3, "fake-bigram-384",
    )  # fmt: skip


async def test_vectors_match_their_chunks_across_documents_in_one_batch(house: Any, tools: Any) -> None:
    ids = [(await house.upload(f"{n}.txt", f"甲{n}\n乙{n}\n丙{n}")).document.id for n in range(7)]
    async with tools.running(house.full_worker()):
        for id_ in ids:
            await house.wait_for(id_)
    rows = await house.pool.fetch("SELECT text, heading, embedding FROM chunks")
    assert len(rows) == 21
    texts = [" > ".join(row["heading"]) + "\n" + row["text"] for row in rows]
    expected = await FakeEmbedder().embed(texts, "passage")
    for row, vector in zip(rows, expected, strict=True):
        assert row["embedding"] @ vector == pytest.approx(1, abs=1e-3)
    assert all(kind == "passage" and len(batch) <= 4 for batch, kind in house.embedder.calls)
    assert len(house.embedder.calls) < 21, "batches are filled across documents"


@pytest.mark.parametrize(("text", "reason"), [("CORRUPT", "corrupt"), ("BUG", "internal"), ("\n", "no_text")])
async def test_a_broken_document_fails_alone(house: Any, tools: Any, text: str, reason: str) -> None:
    bad = await house.upload("bad.txt", text) if text.strip() else await house.upload("bad.txt", " \n")
    good = await house.upload("good.txt", "good")
    if not text.strip():
        house.reader.read = _no_chunks_for("bad.txt", house.reader.read)
    async with tools.running(house.full_worker()):
        failed = await house.wait_for(bad.document.id, "failed")
        await house.wait_for(good.document.id)
        await tools.until(lambda: _has_event(house, "document.failed"))
    assert failed.reason == reason
    assert failed.error
    assert "\n" not in failed.error
    assert not failed.live


async def test_a_failed_version_leaves_the_old_one_live(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "old")
    async with tools.running(house.full_worker()):
        await house.wait_for(added.document.id)
        await house.upload("a.txt", "CORRUPT")
        document = await house.wait_for(added.document.id, "failed")
    assert document.live
    assert await house.texts(document.id) == ["old"]


async def test_a_new_version_replaces_the_old_one_atomically(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "old 0\nold 1")
    seen: set[tuple[str, ...]] = set()
    async with tools.running(house.full_worker()):
        await house.wait_for(added.document.id)

        async def look() -> None:
            while True:
                seen.add(tuple(await house.texts(added.document.id)))
                await asyncio.sleep(0)

        async with tools.running(_Loop(look)):
            for number in range(1, 6):
                await house.upload("a.txt", f"new {number}\nnew {number}b\nnew {number}c")
                await house.wait_for(added.document.id)
        await tools.until(lambda: _count_is(house, "object_deletions", 0))
    complete = {("old 0", "old 1")} | {(f"new {n}", f"new {n}b", f"new {n}c") for n in range(1, 6)}
    assert seen <= complete
    assert len(seen) > 1
    assert len(house.objects.blobs) == 1, "objects of replaced versions are deleted"
    statuses = await house.pool.fetch("SELECT status FROM document_versions ORDER BY created_at")
    assert [row["status"] for row in statuses] == ["superseded"] * 5 + ["indexed"]


async def test_a_version_superseded_while_at_work_is_dropped(house: Any, tools: Any) -> None:
    house.reader.delay = 0.3
    added = await house.upload("a.txt", "first")
    async with tools.running(house.full_worker()):
        await tools.until(lambda: _status_is(house, added, "processing"))
        await house.upload("a.txt", "second")
        await house.wait_for(added.document.id)
    assert await house.texts(added.document.id) == ["second"]


@pytest.mark.parametrize("stage", ["get", "read", "embed", "store", "stored", "keyword"])
async def test_killed_at_any_stage_the_next_attempt_completes(house: Any, tools: Any, stage: str) -> None:
    added = await house.upload("a.txt", "one\ntwo\nthree")
    with pytest.raises(BaseExceptionGroup):
        await _run_until_killed(house, stage)
    embedded = len(house.embedder.calls)
    async with tools.running(house.full_worker()):
        document = await house.wait_for(added.document.id)
    assert await house.texts(document.id) == ["one", "two", "three"]
    assert house.keyword.entries == {document.id: ["one", "two", "three"]}
    if stage in ("stored", "keyword"):
        assert len(house.embedder.calls) == embedded, "chunks in place are not embedded again"
        assert document.attempts == 1
    else:
        assert document.attempts == 2


async def test_a_version_that_keeps_killing_workers_fails(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "poison")
    for _ in range(3):
        with pytest.raises(BaseExceptionGroup):
            await _run_until_killed(house, "read")
    async with tools.running(house.full_worker()):
        document = await house.wait_for(added.document.id, "failed")
    assert (document.reason, document.attempts) == ("worker_lost", 3)


async def test_a_suspect_is_tried_alone(house: Any, tools: Any) -> None:
    for number in range(6):
        await house.upload(f"{number}.txt", f"text {number}")
    await house.pool.execute("UPDATE document_versions SET attempts = 1 WHERE true")
    most = 0
    house.settings = IndexingSettings(lease_s=1, workers=3)
    worker = house.full_worker()
    read = house.reader.read

    async def watch(*args: Any) -> Any:
        nonlocal most
        most = max(most, len(worker._open))
        return await read(*args)

    house.reader.read = watch
    async with tools.running(worker):
        await tools.until(lambda: _count_is(house, "document_versions WHERE status <> 'indexed'", 0))
    assert most == 1


async def test_workers_share_the_queue(house: Any, tools: Any) -> None:
    house.reader.delay = 0.01
    for number in range(30):
        await house.upload(f"{number}.txt", f"text {number}")
    async with tools.running(house.full_worker(), house.worker(), house.worker()):
        await tools.until(lambda: _count_is(house, "document_versions WHERE status <> 'indexed'", 0))
    assert house.reader.reads == 30
    assert await house.pool.fetchval("SELECT count(*) FROM chunks") == 30


async def test_a_lease_is_renewed_while_work_lasts(house: Any, tools: Any) -> None:
    house.reader.delay = 2.5
    added = await house.upload("a.txt", "slow")
    async with tools.running(house.full_worker(), house.worker()):
        document = await house.wait_for(added.document.id)
    assert (document.attempts, house.reader.reads) == (1, 1)


async def test_a_worker_that_fell_silent_cannot_store(house: Any) -> None:
    added = await house.upload("a.txt", "text")
    claim = await house.queue.claim("silent", 0.01, 3)
    await asyncio.sleep(0.05)
    second = await house.queue.claim("next", 10, 3)
    assert second.version_id == claim.version_id
    content = await house.embedded("text")
    assert not await house.queue.store("silent", claim, content)
    assert not await house.queue.fail("silent", claim, "corrupt", "no")
    assert await house.queue.renew("silent", 10) == set()
    assert await house.queue.store("next", second, content)
    assert not await house.queue.store("next", second, content), "once only"
    assert await house.texts(added.document.id) == ["text"]


async def test_a_stopped_worker_gives_its_versions_back_uncounted(house: Any, tools: Any) -> None:
    house.reader.delay = 60
    added = await house.upload("a.txt", "text")
    async with tools.running(house.worker()):
        await tools.until(lambda: _status_is(house, added, "processing"))
    document = await house.document(added.document.id)
    assert (document.status, document.attempts) == ("pending", 0)


async def test_work_for_a_deleted_document_is_dropped(house: Any, tools: Any) -> None:
    house.reader.delay = 0.2
    added = await house.upload("a.txt", "text")
    other = await house.upload("b.txt", "text b")
    async with tools.running(house.full_worker()):
        await tools.until(lambda: _status_is(house, added, "processing"))
        await house.service.delete_document(house.tenant_id, added.document.id)
        await house.wait_for(other.document.id)
    assert await house.pool.fetchval("SELECT count(*) FROM chunks") == 1


async def test_a_missing_object_fails_its_document(house: Any, tools: Any) -> None:
    added = await house.upload("a.txt", "text")
    house.objects.blobs.clear()
    async with tools.running(house.full_worker()):
        document = await house.wait_for(added.document.id, "failed")
    assert document.error == "The stored file is missing"


async def test_outages_of_every_engine_are_waited_out(house: Any, tools: Any) -> None:
    class Flaky:
        """Fails the first calls of every method."""

        def __init__(self, inner: Any, error: type[Exception], times: int = 3) -> None:
            self._inner, self._error, self._left = inner, error, dict[str, int]()
            self._times = times

        def __getattr__(self, name: str) -> Any:
            async def call(*args: Any, **kwargs: Any) -> Any:
                left = self._left.setdefault(name, self._times)
                if left:
                    self._left[name] = left - 1
                    raise self._error
                return await getattr(self._inner, name)(*args, **kwargs)

            return call

    added = await house.upload("a.txt", "text")
    worker = house.full_worker(
        embedder=Flaky(house.embedder, ModelUnavailable),
        objects=Flaky(house.objects, Unavailable),
        queue=Flaky(house.queue, Unavailable),
    )
    async with tools.running(worker):
        document = await house.wait_for(added.document.id)
    assert document.attempts == 1


async def test_an_embedder_that_refuses_a_text_fails_that_document(house: Any, tools: Any) -> None:
    class Picky(FakeEmbedder):
        async def embed(self, texts: Any, kind: Any) -> Any:
            if any("refused" in text for text in texts):
                raise ValueError
            return await super().embed(texts, kind)

    good = [await house.upload(f"{number}.txt", f"fine {number}") for number in range(3)]
    bad = await house.upload("bad.txt", "fine\nrefused\nfine")
    good += [await house.upload(f"{number}.txt", f"fine {number}") for number in range(3, 6)]
    async with tools.running(house.full_worker(embedder=Picky())):
        await house.wait_for(bad.document.id, "failed")
        for added in good:
            await house.wait_for(added.document.id)


async def test_an_upload_wakes_a_waiting_worker(house: Any, tools: Any) -> None:
    async with tools.running(house.full_worker()):
        await asyncio.sleep(1.2)
        loop = asyncio.get_running_loop()
        waits = []
        for number in range(5):
            started = loop.time()
            added = await house.upload(f"{number}.txt", f"text {number}")
            await house.wait_for(added.document.id)
            waits.append(loop.time() - started)
    assert min(waits) < 0.5, "polling alone would take a second or two"


class _Loop:
    def __init__(self, run: Any) -> None:
        self.run = run


async def _run_until_killed(house: Any, stage: str) -> None:
    """A worker that dies at `stage` and leaves its lease behind, expired."""

    async def killed(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    async def ignored(*args: Any) -> None:
        pass

    queue, reader, embedder, objects = (copy(part) for part in _parts(house))
    queue.release = ignored
    background = []
    match stage:
        case "get":
            objects.get = killed
        case "read":
            reader.read = killed
        case "embed":
            embedder.embed = killed
        case "store":
            queue.store = killed
        case "stored":

            async def store_and_die(*args: Any) -> bool:
                await type(queue).store(queue, *args)
                raise Killed

            queue.store = store_and_die
        case "keyword":
            follower = house.follower()
            follower._feed = copy(house.feed)

            async def report_or_die(name: str, applied_seq: int) -> Any:
                if applied_seq:
                    raise Killed
                return await house.feed.report(name, applied_seq)

            follower._feed.report = report_or_die
            background = [follower]
    worker = house.worker(queue=queue, reader=reader, embedder=embedder, objects=objects, background=background)
    try:
        await worker.run()
    finally:
        await house.pool.execute("UPDATE document_versions SET lease_until = now() - interval '1 s'")


def _parts(house: Any) -> tuple[Any, ...]:
    return house.queue, house.reader, house.embedder, house.objects


def _no_chunks_for(name: str, read: Any) -> Any:
    async def wrapped(given: str, content_type: str, data: bytes) -> Any:
        return await read(given, content_type, b"" if given == name else data)

    return wrapped


async def _has_event(house: Any, type_: str) -> bool:
    return any(event.type == type_ for event in house.bus.events)


async def _status_is(house: Any, added: Any, status: str) -> bool:
    return bool((await house.document(added.document.id)).status == status)


async def _count_is(house: Any, table: str, wanted: int) -> bool:
    return bool(await house.pool.fetchval(f"SELECT count(*) FROM {table}") == wanted)
