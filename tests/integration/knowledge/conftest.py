"""A knowledge base on a real database, with a fake embedder, a fake keyword index and objects in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from voicehelper.config import EventSettings, IndexingSettings
from voicehelper.documents.model import Chunk, FailureReason
from voicehelper.errors import UnprocessableDocument
from voicehelper.events.relay import OutboxRelay
from voicehelper.ids import new_id
from voicehelper.knowledge.follower import KeywordFollower
from voicehelper.knowledge.housekeeping import Housekeeper
from voicehelper.knowledge.model import Added, Document, EmbeddedDocument, KeywordChunk, ReadDocument
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.knowledge.worker import IndexWorker
from voicehelper.ports.embedder import FakeEmbedder
from voicehelper.ports.events import EventBus, FakeEventBus
from voicehelper.ports.objects import FakeObjectStore
from voicehelper.ports.search import Scope
from voicehelper.stores.postgres.index_queue import PostgresIndexQueue, PostgresObjectTrash
from voicehelper.stores.postgres.keyword_feed import PostgresKeywordFeed
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.outbox import PostgresOutbox
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups

LEASE_S = 1.0


async def stream(data: bytes, part: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(data), part):
        yield data[start : start + part]


class LineReader:
    """A chunk for every line; lines of one word make it fail in that way."""

    def __init__(self) -> None:
        self.reads = 0
        self.delay = 0.0

    async def read(self, name: str, content_type: str, data: bytes) -> ReadDocument:
        self.reads += 1
        await asyncio.sleep(self.delay)
        text = data.decode()
        if text == "CORRUPT":
            raise UnprocessableDocument("The file is damaged", {"reason": FailureReason.CORRUPT.value})
        if text == "BUG":
            raise ZeroDivisionError
        chunks, start = [], 0
        for position, line in enumerate(text.splitlines()):
            chunks.append(Chunk(position, line, len(line), ("标题", name), 1, start, start + len(line)))
            start += len(line) + 1
        return ReadDocument(tuple(chunks), page_count=1)


@dataclass
class FakeKeywordIndex:
    """Entries by document, durable only with `commit`; survives its writer."""

    entries: dict[UUID, list[str]] = field(default_factory=dict)
    draft: dict[UUID, list[str]] = field(default_factory=dict)
    applied_seq: int = 0
    writes: int = 0
    broken: int = 0

    def open(self) -> "FakeKeywordIndex":
        self.draft = dict(self.entries)
        return self

    def clear(self) -> None:
        self.draft = {}

    def replace_document(self, tenant_id: UUID, kb_id: UUID, document_id: UUID, chunks: Sequence[KeywordChunk]) -> None:
        self.writes += 1
        self.draft[document_id] = [chunk.text for chunk in chunks]

    def delete_document(self, document_id: UUID) -> None:
        self.draft.pop(document_id, None)

    def commit(self, applied_seq: int) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError("disk")
        self.entries = dict(self.draft)
        self.applied_seq = applied_seq

    def close(self) -> None:
        self.draft = {}


class House:
    """Everything wired, one tenant, one base."""

    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self.pool = pool
        self.tenant_id = tenant_id
        self.kb_id = UUID(int=0)
        self.wakeups = Wakeups(pool)
        self.repository = PostgresKnowledge(pool)
        self.trash = PostgresObjectTrash(pool)
        self.queue = PostgresIndexQueue(pool, self.wakeups)
        self.feed = PostgresKeywordFeed(pool, self.wakeups)
        self.outbox = PostgresOutbox(pool, self.wakeups)
        self.passages = PostgresPassages(pool)
        self.objects = FakeObjectStore()
        self.embedder = FakeEmbedder()
        self.reader = LineReader()
        self.keyword = FakeKeywordIndex()
        self.bus = FakeEventBus()
        self.settings = IndexingSettings(lease_s=LEASE_S, embed_batch=4)
        self.service = KnowledgeService(self.repository, self.trash, self.objects, max_upload_bytes=10_000)

    async def upload(self, name: str, text: str) -> Added:
        return await self.service.upload(self.tenant_id, self.kb_id, name, "text/plain", stream(text.encode()))

    def worker(self, **changes: Any) -> IndexWorker:
        parts = {
            "queue": self.queue,
            "objects": self.objects,
            "reader": self.reader,
            "embedder": self.embedder,
            "settings": self.settings,
        }
        return IndexWorker(**(parts | changes))

    def follower(self, name: str = "here", keyword: FakeKeywordIndex | None = None) -> KeywordFollower:
        return KeywordFollower(self.feed, (keyword or self.keyword).open, name)

    def full_worker(self, **changes: Any) -> IndexWorker:
        keeper = Housekeeper(queue=self.queue, trash=self.trash, objects=self.objects, max_attempts=3)
        return self.worker(background=[self.follower(), self.relay(self.bus), keeper], **changes)

    def relay(self, bus: EventBus) -> OutboxRelay:
        return OutboxRelay(self.outbox, bus, EventSettings())

    async def document(self, document_id: UUID) -> Document:
        return await self.service.get_document(self.tenant_id, document_id)

    async def wait_for(self, document_id: UUID, status: str = "indexed", timeout: float = 10) -> Document:
        async def reached() -> bool:
            return (await self.document(document_id)).status == status

        await until(reached, timeout)
        return await self.document(document_id)

    async def texts(self, document_id: UUID) -> list[str]:
        query = "SELECT text FROM chunks WHERE document_id = $1 ORDER BY position"
        return [row["text"] for row in await self.pool.fetch(query, document_id)]

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant_id, (self.kb_id,))

    async def embedded(self, *lines: str) -> EmbeddedDocument:
        chunks = (await LineReader().read("x", "", "\n".join(lines).encode())).chunks
        vectors = await self.embedder.embed([chunk.text for chunk in chunks], "passage")
        return EmbeddedDocument(chunks, np.asarray(vectors), "fake", 1)


async def until(condition: Callable[[], Awaitable[bool]], timeout: float = 10) -> None:
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*workers: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def make_tenant(pool: Pool) -> UUID:
    tenant_id = new_id()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, f"tenant {tenant_id}")
    return tenant_id


@pytest.fixture
async def house(pool: Pool) -> AsyncIterator[House]:
    house = House(pool, await make_tenant(pool))
    house.kb_id = (await house.service.create_base(house.tenant_id, "手册")).id
    yield house
    await house.wakeups.close()


@pytest.fixture
def tools() -> Any:
    """Helpers of this file, for tests (conftest modules cannot be imported by name)."""

    class Tools:
        House = House
        FakeKeywordIndex = FakeKeywordIndex
        running = staticmethod(running)
        until = staticmethod(until)
        stream = staticmethod(stream)
        make_tenant = staticmethod(make_tenant)

    return Tools
