"""The stages of the indexing job, each an actor of Ray Data: read and parse, cut and embed, write.

What passes between them is one row a file with plain columns; a row whose file is done with carries its outcome alone.
The version is created, and leased to the job, when its file is read: from then on the service knows of it, and takes it
over should the job die.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from actors.embedder import build_embedder
from pipelines.engines import Stage, patiently
from pipelines.report import Outcome
from pipelines.sources import Source
from voicehelper.documents.chunking import chunk_document_async
from voicehelper.documents.isolation import ParserProcess
from voicehelper.documents.model import Block, Chunk, FailureReason, ParsedDocument
from voicehelper.documents.pipeline import chunk_limits, parse_limits, prepared
from voicehelper.errors import InvalidInput, UnprocessableDocument
from voicehelper.ids import new_id
from voicehelper.knowledge.model import Claim, Document, EmbeddedDocument, NewVersion
from voicehelper.knowledge.names import document_name
from voicehelper.knowledge.service import UPLOAD_LIMIT_S, object_key
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What all stages know of the job. `owner` holds its leases."""

    owner: str
    tenant_id: UUID
    kb_id: UUID
    lease_s: float
    source: str


class ReadStage(Stage):
    """Reads a file, registers it as a version of the job's own, stores it and parses it in a child process."""

    def __init__(self, public: dict[str, Any], job: Job) -> None:
        super().__init__(public)
        self._job = job
        self._source = Source(job.source, self.settings.objects)
        self._parser = ParserProcess(parse_limits(self.settings.indexing))

    def __call__(self, row: Row) -> Row:
        """One file; never raises for what is wrong with the file."""
        name, limit = row["name"], self.settings.http.max_upload_bytes
        if row["size"] > limit:
            return finished(name, "failed", FailureReason.TOO_LARGE, f"The file is larger than {limit} bytes")
        try:
            canonical = document_name(name)
            data = self._source.read(row["path"])
        except InvalidInput as error:
            return finished(name, "failed", "invalid_name", error.message)
        except OSError as error:
            return finished(name, "failed", "unreadable", f"The file cannot be read: {type(error).__name__}")
        claim = self.wait(self._claim(canonical, data))
        return finished(canonical, claim) if isinstance(claim, str) else self._parse(claim, data)

    async def _claim(self, name: str, data: bytes) -> Claim | str:
        """A lease on the version with this content, made if need be; or the file's state when nothing is to be done."""
        digest = hashlib.sha256(data).hexdigest()
        engines, job = self.engines, self._job
        known = await patiently("postgres", lambda: engines.knowledge.find_document(job.tenant_id, job.kb_id, name))
        if known is not None and known.sha256 == digest and known.status != "failed":
            return await self._take(known)
        version_id = new_id()
        key = object_key(job.tenant_id, job.kb_id, version_id)
        await patiently("postgres", lambda: engines.trash.register(key, UPLOAD_LIMIT_S))
        await patiently("objects", lambda: engines.objects.put(key, _once(data)))
        new = NewVersion(job.tenant_id, job.kb_id, name, "", version_id, key, len(data), digest)
        added = await patiently("postgres", lambda: engines.knowledge.add_version(new, job.owner, job.lease_s))
        document = added.document
        if document.version_id != version_id:
            return await self._take(document)
        return Claim(version_id, document.id, job.tenant_id, job.kb_id, name, "", key, 1)

    async def _take(self, known: Document) -> Claim | str:
        """The lease of a version that is there already, or who else has it."""
        if known.status == "indexed":
            return "skipped"
        queue, job = self.engines.queue, self._job
        claim = await patiently("postgres", lambda: queue.take(known.version_id, job.owner, job.lease_s))
        return claim or "elsewhere"

    def _parse(self, claim: Claim, data: bytes) -> Row:
        try:
            parsed = self._parser.parse(data, claim.name, claim.content_type)
        except UnprocessableDocument as error:
            reason = str(error.details.get("reason", FailureReason.INTERNAL))
            return self.wait(fail(self, self._job, claim, reason, error.message))
        row = finished(claim.name, "read")
        return row | {"claim": orjson.dumps(asdict(claim), default=str), "document": orjson.dumps(asdict(parsed))}


class EmbedStage(Stage):
    """Cuts documents into chunks and embeds them: batches are filled across documents."""

    def __init__(self, public: dict[str, Any], job: Job) -> None:
        super().__init__(public)
        self._job = job
        self._embedder = build_embedder(self.settings)
        self._limits = chunk_limits(self.settings.indexing)
        self._info = self.wait(self._embedder.describe())

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """A batch of rows, column by column."""
        rows = [{key: values[i] for key, values in batch.items()} for i in range(len(batch["name"]))]
        done = self.wait(self._embed(rows))
        return {key: [row[key] for row in done] for key in done[0]} if done else {}

    async def _embed(self, rows: list[Row]) -> list[Row]:
        rows = [await self._cut(row) if row["state"] == "read" else row for row in rows]
        wanted = [(row, _chunks(row)) for row in rows if row["state"] == "cut"]
        texts = [chunk.embedding_text for _, chunks in wanted for chunk in chunks]
        vectors = await self._vectors(texts)
        start = 0
        for row, chunks in wanted:
            row["vectors"] = vectors[start : start + len(chunks)].astype(np.float16).tobytes()
            row["model"] = self._info.model
            start += len(chunks)
        return rows

    async def _cut(self, row: Row) -> Row:
        content = orjson.loads(row["document"])
        blocks = tuple(Block(**block) for block in content["blocks"])
        parsed = ParsedDocument(blocks, content["title"], content["page_count"])
        try:
            chunks = await patiently("embedder", lambda: self._chunks_of(parsed))
        except UnprocessableDocument as error:
            return await fail(self, self._job, _claim(row), error.details["reason"], error.message)
        except Exception:  # a bug met by one document must not end the job
            log.exception("document.cutting_failed", document=row["name"])
            return await fail(self, self._job, _claim(row), FailureReason.INTERNAL, "The document could not be cut")
        document = {"chunks": [asdict(chunk) for chunk in chunks], "page_count": parsed.page_count}
        return row | {"state": "cut", "document": orjson.dumps(document)}

    async def _chunks_of(self, parsed: ParsedDocument) -> list[Chunk]:
        chunks = await chunk_document_async(parsed, self._embedder.count_tokens, self._limits)
        return list(prepared(parsed, chunks).chunks)

    async def _vectors(self, texts: list[str]) -> Any:
        """Vectors of all texts, embedded in portions of `embed_batch` a thread."""
        size = self.settings.indexing.embed_batch * max(1, self.settings.embedder.threads)
        parts = [np.zeros((0, self._info.dimensions), dtype=np.float32)]
        for start in range(0, len(texts), size):
            portion = texts[start : start + size]
            parts.append(await patiently("embedder", partial(self._embedder.embed, portion, "passage")))
        return np.concatenate(parts)


class WriteStage(Stage):
    """Puts chunks and vectors into the database, a document in a transaction."""

    def __init__(self, public: dict[str, Any], job: Job) -> None:
        super().__init__(public)
        self._job = job

    def __call__(self, row: Row) -> Row:
        """One file."""
        if row["state"] != "cut":
            return {key: row[key] for key in ("name", "state", "reason", "error", "chunks")}
        return self.wait(self._write(row))

    async def _write(self, row: Row) -> Row:
        chunks = _chunks(row)
        vectors = np.frombuffer(row["vectors"], dtype=np.float16).reshape(len(chunks), -1).astype(np.float32)
        page_count = orjson.loads(row["document"])["page_count"]
        content = EmbeddedDocument(chunks, vectors, row["model"], page_count)
        queue, job = self.engines.queue, self._job
        stored = await patiently("postgres", lambda: queue.store(job.owner, _claim(row), content))
        outcome = finished(row["name"], "stored" if stored else "elsewhere", chunks=len(chunks) if stored else 0)
        return {key: outcome[key] for key in ("name", "state", "reason", "error", "chunks")}


async def fail(stage: Stage, job: Job, claim: Claim, reason: str, error: str) -> Row:
    """Mark the version failed, unless somebody else has it by now."""
    queue = stage.engines.queue
    line = " ".join(error.split())[:500]
    mine = await patiently("postgres", lambda: queue.fail(job.owner, claim, reason, line))
    return finished(claim.name, "failed", reason, line) if mine else finished(claim.name, "elsewhere")


def finished(name: str, state: str, reason: str = "", error: str = "", chunks: int = 0) -> Row:
    """A row with every column the stages share."""
    outcome = {"name": name, "state": state, "reason": str(reason), "error": error, "chunks": chunks}
    return outcome | {"claim": b"", "document": b"", "vectors": b"", "model": ""}


def outcome_of(row: Row) -> Outcome:
    """What the last stage says of a file."""
    return Outcome(str(row["name"]), str(row["state"]), str(row["reason"]), str(row["error"]), int(row["chunks"]))


def _claim(row: Row) -> Claim:
    fields = orjson.loads(row["claim"])
    ids = ("version_id", "document_id", "tenant_id", "kb_id")
    return Claim(**(fields | {key: UUID(fields[key]) for key in ids}))


def _chunks(row: Row) -> list[Chunk]:
    found = orjson.loads(row["document"])["chunks"]
    return [Chunk(**(fields | {"heading": tuple(fields["heading"])})) for fields in found]


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
