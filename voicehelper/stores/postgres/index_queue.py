"""Versions to index: the table `document_versions` is the queue, a lease in the row is the claim."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from voicehelper.documents.model import FailureReason
from voicehelper.errors import VoiceHelperError
from voicehelper.events.catalogue import DocumentFailed
from voicehelper.ids import new_id
from voicehelper.knowledge.model import Claim, EmbeddedDocument
from voicehelper.ports.embedder import EmbedderInfo
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.keyword_feed import record_changes
from voicehelper.stores.postgres.outbox import add_events
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.vectors import ensure_vector_index
from voicehelper.stores.postgres.wakeups import INDEX, Wakeups

# Versions that already cost a worker its life come last. A worker that was late to renew does not take its own twice.
_CLAIM = """
UPDATE document_versions v
SET status = 'processing', lease_owner = $1, lease_until = now() + make_interval(secs => $2), attempts = attempts + 1
FROM documents d
WHERE d.id = v.document_id AND v.id = (
    SELECT id FROM document_versions
    WHERE status IN ('pending', 'processing') AND keyword_seq IS NULL AND attempts < $3
      AND (status = 'pending' OR lease_until < now() AND lease_owner <> $1)
    ORDER BY attempts, created_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING v.id, v.document_id, v.tenant_id, v.kb_id, d.name, v.content_type, v.object_key, v.attempts
"""

_TAKE = """
UPDATE document_versions v
SET status = 'processing', lease_owner = $1, lease_until = now() + make_interval(secs => $2), attempts = attempts + 1
FROM documents d
WHERE d.id = v.document_id AND v.id = $3 AND v.keyword_seq IS NULL
  AND (v.status = 'pending' OR v.status = 'processing' AND (v.lease_until < now() OR v.lease_owner = $1))
RETURNING v.id, v.document_id, v.tenant_id, v.kb_id, d.name, v.content_type, v.object_key, v.attempts
"""

_INSERT = """
INSERT INTO chunks (id, tenant_id, kb_id, document_id, version_id, position, page, heading, char_start, char_end,
                    tokens, text, embedding_model, embedding)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""


class PostgresIndexQueue:
    """`knowledge.ports.IndexQueue`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def prepare(self, info: EmbedderInfo) -> None:
        """See `IndexQueue`."""
        await ensure_vector_index(self._pool, info.model, info.dimensions)

    async def claim(self, owner: str, lease_s: float, max_attempts: int) -> Claim | None:
        """See `IndexQueue`."""
        async with connection(self._pool, SYSTEM) as conn:
            row = await conn.fetchrow(_CLAIM, owner, lease_s, max_attempts)
        return None if row is None else Claim(*row.values())

    async def take(self, version_id: UUID, owner: str, lease_s: float) -> Claim | None:
        """See `IndexQueue`."""
        async with connection(self._pool, SYSTEM) as conn:
            row = await conn.fetchrow(_TAKE, owner, lease_s, version_id)
        return None if row is None else Claim(*row.values())

    async def renew(self, owner: str, lease_s: float) -> set[UUID]:
        """See `IndexQueue`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "UPDATE document_versions SET lease_until = now() + make_interval(secs => $2)"
                " WHERE lease_owner = $1 AND status = 'processing' AND keyword_seq IS NULL RETURNING id",
                owner,
                lease_s,
            )
        return {row["id"] for row in rows}

    async def release(self, owner: str) -> None:
        """See `IndexQueue`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "UPDATE document_versions SET status = 'pending', lease_owner = NULL, lease_until = NULL,"
                " attempts = greatest(attempts - 1, 0)"
                " WHERE lease_owner = $1 AND status = 'processing' AND keyword_seq IS NULL",
                owner,
            )
            await conn.execute("SELECT pg_notify($1, '')", INDEX)

    async def store(self, owner: str, claim: Claim, content: EmbeddedDocument) -> bool:
        """See `IndexQueue`."""
        async with transaction(self._pool, claim.tenant_id) as conn:
            document = await conn.fetchrow(
                "SELECT live_version_id FROM documents WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
                claim.tenant_id,
                claim.document_id,
            )
            if document is None or not await _holds(conn, owner, claim):
                return False
            await conn.execute(
                "DELETE FROM chunks WHERE tenant_id = $1 AND document_id = $2", claim.tenant_id, claim.document_id
            )
            await conn.executemany(_INSERT, _records(claim, content))  # COPY knows no row-level security
            await _make_live(conn, claim, document["live_version_id"])
            seq = await record_changes(conn, claim.tenant_id, claim.kb_id, [claim.document_id])
            await conn.execute(
                "UPDATE document_versions SET keyword_seq = $2, chunk_count = $3, page_count = $4, lease_owner = NULL,"
                " lease_until = NULL WHERE id = $1 AND tenant_id = $5",
                claim.version_id,
                seq,
                len(content.chunks),
                content.page_count,
                claim.tenant_id,
            )
        return True

    async def fail(self, owner: str, claim: Claim, reason: str, error: str) -> bool:
        """See `IndexQueue`."""
        async with transaction(self._pool, claim.tenant_id) as conn:
            if not await _holds(conn, owner, claim):
                return False
            await _mark_failed(conn, [claim.version_id], reason, error)
        return True

    async def bury(self, max_attempts: int) -> int:
        """See `IndexQueue`."""
        async with transaction(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT id FROM document_versions WHERE status = 'processing' AND keyword_seq IS NULL"
                " AND attempts >= $1 AND lease_until < now() FOR UPDATE SKIP LOCKED",
                max_attempts,
            )
            error = f"The indexing worker died {max_attempts} times at this document"
            await _mark_failed(conn, [row["id"] for row in rows], FailureReason.WORKER, error)
        return len(rows)

    async def length(self) -> int:
        """See `IndexQueue`."""
        async with connection(self._pool, SYSTEM) as conn:
            return int(
                await conn.fetchval(
                    "SELECT count(*) FROM document_versions WHERE status IN ('pending', 'processing')"
                    " AND keyword_seq IS NULL"
                )
            )

    async def wait(self, timeout: float) -> None:
        """See `IndexQueue`."""
        await self._wakeups.wait(INDEX, timeout)


class PostgresObjectTrash:
    """`knowledge.ports.ObjectTrash`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def register(self, key: str, after_s: float) -> None:
        """See `ObjectTrash`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(
                "INSERT INTO object_deletions (object_key, not_before) VALUES ($1, now() + make_interval(secs => $2))"
                " ON CONFLICT (object_key) DO UPDATE SET not_before = excluded.not_before",
                key,
                after_s,
            )

    async def forget(self, keys: Sequence[str]) -> None:
        """See `ObjectTrash`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM object_deletions WHERE object_key = ANY($1::text[])", list(keys))

    async def sweep(self, delete: Callable[[str], Awaitable[None]], limit: int = 100) -> int:
        """See `ObjectTrash`. The rows stay locked meanwhile, so that an upload cannot take its key back any more."""
        async with transaction(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                "SELECT object_key FROM object_deletions WHERE not_before <= now() ORDER BY not_before LIMIT $1"
                " FOR UPDATE SKIP LOCKED",
                limit,
            )
            gone = [row["object_key"] for row in rows if await _deleted(delete, row["object_key"])]
            await conn.execute("DELETE FROM object_deletions WHERE object_key = ANY($1::text[])", gone)
        return len(gone)


async def _deleted(delete: Callable[[str], Awaitable[None]], key: str) -> bool:
    try:
        await delete(key)
    except (VoiceHelperError, OSError):
        return False  # stays in the table for the next sweep
    return True


async def _holds(conn: Connection, owner: str, claim: Claim) -> bool:
    """Whether `owner` still has the lease; locks the version until the end of the transaction."""
    query = (
        "SELECT true FROM document_versions WHERE id = $1 AND tenant_id = $2 AND status = 'processing'"
        " AND lease_owner = $3 AND keyword_seq IS NULL FOR UPDATE"
    )
    return bool(await conn.fetchval(query, claim.version_id, claim.tenant_id, owner))


async def _make_live(conn: Connection, claim: Claim, previous: UUID | None) -> None:
    await conn.execute(
        "UPDATE documents SET live_version_id = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2",
        claim.tenant_id,
        claim.document_id,
        claim.version_id,
    )
    await conn.execute(
        "WITH ended AS (UPDATE document_versions SET status = 'superseded' WHERE tenant_id = $1 AND id = $2"
        " RETURNING object_key)"
        " INSERT INTO object_deletions (object_key) SELECT object_key FROM ended ON CONFLICT DO NOTHING",
        claim.tenant_id,
        previous,
    )


async def _mark_failed(conn: Connection, version_ids: Sequence[UUID], reason: str, error: str) -> None:
    rows = await conn.fetch(
        "UPDATE document_versions SET status = 'failed', reason = $2, error = $3, finished_at = now(),"
        " lease_owner = NULL, lease_until = NULL WHERE id = ANY($1::uuid[])"
        " RETURNING id AS version_id, tenant_id, kb_id, document_id",
        list(version_ids),
        reason,
        error,
    )
    await add_events(conn, [(row.pop("tenant_id"), DocumentFailed(reason=reason, **row)) for row in map(dict, rows)])


def _records(claim: Claim, content: EmbeddedDocument) -> list[tuple[Any, ...]]:
    return [
        (
            new_id(),
            claim.tenant_id,
            claim.kb_id,
            claim.document_id,
            claim.version_id,
            chunk.position,
            chunk.page,
            list(chunk.heading),
            chunk.start,
            chunk.end,
            chunk.tokens,
            chunk.text,
            content.model,
            vector,
        )
        for chunk, vector in zip(content.chunks, content.vectors, strict=True)
    ]
