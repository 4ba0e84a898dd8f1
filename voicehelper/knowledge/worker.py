"""The indexing worker: claims versions, reads, embeds and stores them, whatever comes and goes around it.

Two stages overlap, so that the embedder never waits for a parser: `_intake` claims and reads ahead until about two
batches of chunks lie ready; `_embedding` fills its batches from whatever documents are ready. A version is the worker's
as long as its lease is renewed; the database refuses to store what was lost meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import numpy as np

from voicehelper.config import IndexingSettings
from voicehelper.documents.model import Chunk, FailureReason
from voicehelper.errors import NotFound, UnprocessableDocument, VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.knowledge.model import Claim, EmbeddedDocument, ReadDocument
from voicehelper.knowledge.ports import DocumentReader, IndexQueue
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.ports.embedder import Embedder, EmbedderInfo, Vectors
from voicehelper.ports.objects import ObjectStore
from voicehelper.retrying import is_transient, until_available
from voicehelper.telemetry import get_logger, metrics, stage

log = get_logger(__name__)

POLL_S = 1.0
MOST_OPEN = 16
STORES_AT_ONCE = 2


class Background(Protocol):
    """A loop that runs beside the worker and survives outages by itself."""

    async def run(self) -> None:
        """Until cancelled."""
        ...


@dataclass(eq=False)
class _Work:
    """A claimed version on its way."""

    claim: Claim
    document: ReadDocument = field(default_factory=lambda: ReadDocument(()))
    vectors: list[Vectors] = field(default_factory=list)
    dropped: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class IndexWorker:
    """Runs until cancelled; then gives its leases back.

    Args:
        background: loops run beside it (keyword follower, outbox relay, housekeeping).
    """

    def __init__(
        self,
        *,
        queue: IndexQueue,
        objects: ObjectStore,
        reader: DocumentReader,
        embedder: Embedder,
        settings: IndexingSettings,
        background: Sequence[Background] = (),
        clock: Clock | None = None,
    ) -> None:
        self.owner = f"worker:{new_id()}"
        self._queue = queue
        self._objects = objects
        self._reader = reader
        self._embedder = embedder
        self._settings = settings
        self._background = background
        self._clock = clock or SystemClock()
        self._open: dict[UUID, _Work] = {}
        self._ready: asyncio.Queue[_Work] = asyncio.Queue()
        self._waiting_chunks = 0
        self._progress = asyncio.Condition()
        self._gate = asyncio.Lock()
        self._stores = asyncio.Semaphore(STORES_AT_ONCE)

    async def run(self) -> None:
        """Work until cancelled."""
        log.info("indexer.started", owner=self.owner, workers=self._settings.workers)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.workers):
                    group.create_task(self._intake())
                group.create_task(self._embedding(group))
                group.create_task(self._heartbeat())
                for loop in self._background:
                    group.create_task(loop.run())
        finally:
            await self._give_back()

    async def _intake(self) -> None:
        """Claim and read, one document after the other, while there is room."""
        while True:
            async with self._gate:
                await self._room()
                work = await self._claim()
                if work is None:
                    await until_available("queue", lambda: self._queue.wait(POLL_S), self._clock)
                    continue
                if work.claim.attempts > 1:
                    # It may have killed its last worker: nothing else is at risk while it is tried again.
                    await self._alone(work)
                    await self._read(work)
                    await work.done.wait()
                    continue
            await self._read(work)

    async def _claim(self) -> _Work | None:
        settings = self._settings
        claim = await until_available(
            "claim", lambda: self._queue.claim(self.owner, settings.lease_s, settings.max_attempts), self._clock
        )
        if claim is None:
            return None
        work = _Work(claim)
        self._open[claim.version_id] = work
        return work

    async def _room(self) -> None:
        ahead = 2 * self._settings.embed_batch
        async with self._progress:
            await self._progress.wait_for(lambda: self._waiting_chunks < ahead and len(self._open) < MOST_OPEN)

    async def _alone(self, work: _Work) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: set(self._open) <= {work.claim.version_id})

    async def _read(self, work: _Work) -> None:
        """Fetch, parse and cut; hand on to `_embedding`, or end the version."""
        try:
            work.document = await self._chunks(work.claim)
        except UnprocessableDocument as error:
            reason = str(error.details.get("reason", FailureReason.INTERNAL))
            await self._fail(work, reason, error.message)
        except NotFound:
            await self._fail(work, FailureReason.INTERNAL, "The stored file is missing")
        except Exception:
            log.exception("document.read_crashed", document_id=work.claim.document_id)
            await self._fail(work, FailureReason.INTERNAL, "The document could not be read because of an error of ours")
        else:
            self._waiting_chunks += len(work.document.chunks)
            self._ready.put_nowait(work)

    async def _chunks(self, claim: Claim) -> ReadDocument:
        with stage("indexing.fetch"):
            data = await until_available("objects", lambda: self._objects.get(claim.object_key), self._clock)
        with stage("indexing.read"):
            document = await until_available(
                "reader", lambda: self._reader.read(claim.name, claim.content_type, data), self._clock
            )
        if not document.chunks:
            raise UnprocessableDocument("The document holds no text", {"reason": FailureReason.NO_TEXT.value})
        return document

    async def _embedding(self, group: asyncio.TaskGroup) -> None:
        """Embed batch after batch from the documents that are ready, and store each when its last chunk is done."""
        info = await until_available("embedder", self._embedder.describe, self._clock)
        group.create_task(self._prepare(info))
        slots: deque[tuple[_Work, Chunk]] = deque()
        while True:
            if not slots:
                _queue_slots(slots, await self._ready.get())
            while len(slots) < self._settings.embed_batch and not self._ready.empty():
                _queue_slots(slots, self._ready.get_nowait())
            batch = [slots.popleft() for _ in range(min(len(slots), self._settings.embed_batch))]
            await self._took(len(batch))
            for work in await self._embed([slot for slot in batch if not slot[0].dropped]):
                await self._stores.acquire()
                group.create_task(self._store(work, info))
            for work in {work for work, _ in batch if work.dropped}:
                await self._close(work)

    async def _prepare(self, info: EmbedderInfo) -> None:
        await until_available("vector index", lambda: self._queue.prepare(info), self._clock)

    async def _embed(self, batch: list[tuple[_Work, Chunk]]) -> list[_Work]:
        """Add vectors to the documents of `batch`; returns those that are complete now."""
        if not batch:
            return []
        try:
            vectors = await self._vectors([chunk.embedding_text for _, chunk in batch])
        except Exception:  # noqa: BLE001 - ends the document it comes from, not the worker
            return await self._embed_apart(batch)
        complete = []
        for (work, _), vector in zip(batch, vectors, strict=True):
            work.vectors.append(vector)
            if len(work.vectors) == len(work.document.chunks) and not work.dropped:
                complete.append(work)
        return complete

    async def _embed_apart(self, batch: list[tuple[_Work, Chunk]]) -> list[_Work]:
        """The embedder refuses something in `batch`: find out whose it is, and end that document."""
        works = list(dict.fromkeys(work for work, _ in batch))
        if len(works) > 1:
            parts = [[slot for slot in batch if slot[0] is work] for work in works]
            return [work for part in parts for work in await self._embed(part)]
        log.exception("document.embedding_failed", document_id=works[0].claim.document_id)
        await self._fail(works[0], FailureReason.INTERNAL, "The document could not be embedded")
        return []

    async def _vectors(self, texts: list[str]) -> Vectors:
        with stage("indexing.embed"):
            return await until_available("embedder", lambda: self._embedder.embed(texts, "passage"), self._clock)

    async def _store(self, work: _Work, info: EmbedderInfo) -> None:
        document = work.document
        content = EmbeddedDocument(document.chunks, np.stack(work.vectors), info.model, document.page_count)
        try:
            with stage("indexing.store"):
                stored = await until_available(
                    "store", lambda: self._queue.store(self.owner, work.claim, content), self._clock
                )
            if stored:
                metrics.CHUNKS.inc(len(document.chunks))
                log.info("document.stored", document_id=work.claim.document_id, chunks=len(document.chunks))
        except Exception:
            log.exception("document.store_failed", document_id=work.claim.document_id)
            await self._fail(work, FailureReason.INTERNAL, "The chunks could not be stored")
        finally:
            self._stores.release()
            await self._close(work)

    async def _fail(self, work: _Work, reason: str, error: str) -> None:
        claim = work.claim
        line = " ".join(error.split())[:500]
        if await until_available("store", lambda: self._queue.fail(self.owner, claim, reason, line), self._clock):
            metrics.DOCUMENTS.labels("failed").inc()
            log.info("document.failed", document_id=claim.document_id, reason=reason)
        await self._close(work)

    async def _close(self, work: _Work) -> None:
        self._open.pop(work.claim.version_id, None)
        work.dropped = True
        work.done.set()
        async with self._progress:
            self._progress.notify_all()

    async def _took(self, chunks: int) -> None:
        self._waiting_chunks -= chunks
        async with self._progress:
            self._progress.notify_all()

    async def _heartbeat(self) -> None:
        """Renew the leases; what the database no longer grants is dropped where it is."""
        while True:
            await self._clock.sleep(self._settings.lease_s / 3)
            known = dict(self._open)
            if not known:
                continue
            held = await until_available(
                "renew", lambda: self._queue.renew(self.owner, self._settings.lease_s), self._clock
            )
            for version_id, work in known.items():
                if version_id not in held and version_id in self._open:
                    work.dropped = True

    async def _give_back(self) -> None:
        try:
            async with asyncio.timeout(2):
                await self._queue.release(self.owner)
        except (VoiceHelperError, OSError) as error:
            # Leases run out by themselves.
            log.warning("indexer.leases_not_returned", error=str(error), transient=is_transient(error))


def _queue_slots(slots: deque[tuple[_Work, Chunk]], work: _Work) -> None:
    slots.extend((work, chunk) for chunk in work.document.chunks)
