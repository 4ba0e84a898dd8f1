"""Knowledge bases, documents and their versions. Every query is filtered by tenant.

Locks are always taken in the order base, document, version, so that uploads, workers and deletions cannot deadlock.
"""

from typing import Any
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound, Unavailable
from voicehelper.events.catalogue import DocumentDeleted, DocumentUploaded, KnowledgeBaseCreated, KnowledgeBaseDeleted
from voicehelper.ids import new_id
from voicehelper.knowledge.model import Added, Document, KnowledgeBase, NewVersion, Page
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.keyword_feed import record_changes
from voicehelper.stores.postgres.outbox import add_event, add_events
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import INDEX, notify

_BASE = """
SELECT b.id, b.tenant_id, b.name, b.description, b.created_at, count(d.id)::int AS documents,
       coalesce(sum(v.chunk_count), 0)::int AS chunks
FROM knowledge_bases b
LEFT JOIN documents d ON d.kb_id = b.id AND d.tenant_id = b.tenant_id
LEFT JOIN document_versions v ON v.id = d.live_version_id AND v.tenant_id = b.tenant_id
WHERE b.tenant_id = $1
"""

_DOCUMENT = """
SELECT d.id, d.tenant_id, d.kb_id, d.name, v.id AS version_id, v.status, v.reason, v.error, v.chunk_count,
       v.page_count, v.attempts, v.content_type, v.size_bytes, v.sha256, d.live_version_id IS NOT NULL AS live,
       d.created_at, greatest(d.updated_at, v.created_at, v.finished_at) AS updated_at
FROM documents d
JOIN LATERAL (
    SELECT * FROM document_versions WHERE document_id = d.id AND tenant_id = d.tenant_id AND status <> 'superseded'
    ORDER BY created_at DESC, id DESC LIMIT 1
) v ON true
WHERE d.tenant_id = $1
"""


class PostgresKnowledge:
    """`knowledge.ports.KnowledgeRepository`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create_base(self, tenant_id: UUID, name: str, description: str) -> KnowledgeBase:
        """See `KnowledgeRepository`."""
        kb_id = new_id()
        async with transaction(self._pool, tenant_id) as conn:
            try:
                await conn.execute(
                    "INSERT INTO knowledge_bases (id, tenant_id, name, description) VALUES ($1, $2, $3, $4)",
                    kb_id,
                    tenant_id,
                    name,
                    description,
                )
            except asyncpg.UniqueViolationError as error:
                raise Conflict("A knowledge base of this name exists", {"name": name}) from error
            await add_event(conn, tenant_id, KnowledgeBaseCreated(kb_id=kb_id))
        return await self.get_base(tenant_id, kb_id)

    async def get_base(self, tenant_id: UUID, kb_id: UUID) -> KnowledgeBase:
        """See `KnowledgeRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_BASE + "AND b.id = $2 GROUP BY b.id", tenant_id, kb_id)
        return _base(_found(row, "No such knowledge base"))

    async def find_base(self, tenant_id: UUID, name: str) -> KnowledgeBase | None:
        """See `KnowledgeRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_BASE + "AND b.name = $2 GROUP BY b.id", tenant_id, name)
        return None if row is None else _base(row)

    async def list_bases(self, tenant_id: UUID, after: UUID | None, limit: int) -> Page[KnowledgeBase]:
        """See `KnowledgeRepository`."""
        query = _BASE + "AND ($2::uuid IS NULL OR b.id < $2) GROUP BY b.id ORDER BY b.id DESC LIMIT $3"
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(query, tenant_id, after, limit + 1)
        return Page(tuple(_base(row) for row in rows[:limit]), _next_cursor(rows, limit))

    async def delete_base(self, tenant_id: UUID, kb_id: UUID) -> list[str]:
        """See `KnowledgeRepository`."""
        async with transaction(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(
                "SELECT id FROM knowledge_bases WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, kb_id
            )
            _found(row, "No such knowledge base")
            rows = await conn.fetch(
                "SELECT id FROM documents WHERE tenant_id = $1 AND kb_id = $2 ORDER BY id FOR UPDATE", tenant_id, kb_id
            )
            keys = await _delete_documents(conn, tenant_id, kb_id, [row["id"] for row in rows])
            await conn.execute("DELETE FROM knowledge_bases WHERE tenant_id = $1 AND id = $2", tenant_id, kb_id)
            await add_event(conn, tenant_id, KnowledgeBaseDeleted(kb_id=kb_id))
        return keys

    async def add_version(self, new: NewVersion, owner: str = "", lease_s: float = 0) -> Added:
        """See `KnowledgeRepository`."""
        async with transaction(self._pool, new.tenant_id) as conn:
            document_id, live = await _lock_document(conn, new)
            same = await conn.fetchval(
                "SELECT id FROM document_versions WHERE tenant_id = $1 AND document_id = $2 AND sha256 = $3"
                " AND status IN ('pending', 'processing', 'indexed')",
                new.tenant_id,
                document_id,
                new.sha256,
            )
            await _supersede(conn, new.tenant_id, document_id, {same or new.version_id, live})
            if same is None:
                await _insert_version(conn, new, document_id, owner, lease_s)
                uploaded = DocumentUploaded(document_id=document_id, version_id=new.version_id, kb_id=new.kb_id)
                await add_event(conn, new.tenant_id, uploaded)
                await notify(conn, INDEX)
            row = await conn.fetchrow(_DOCUMENT + "AND d.id = $2", new.tenant_id, document_id)
        return Added(_document(_found(row, "No such document")), created=same is None)

    async def get_document(self, tenant_id: UUID, document_id: UUID) -> Document:
        """See `KnowledgeRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_DOCUMENT + "AND d.id = $2", tenant_id, document_id)
        return _document(_found(row, "No such document"))

    async def find_document(self, tenant_id: UUID, kb_id: UUID, name: str) -> Document | None:
        """See `KnowledgeRepository`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_DOCUMENT + "AND d.kb_id = $2 AND d.name = $3", tenant_id, kb_id, name)
        return None if row is None else _document(row)

    async def list_documents(
        self, tenant_id: UUID, kb_id: UUID, after: UUID | None, limit: int, status: str | None = None
    ) -> Page[Document]:
        """See `KnowledgeRepository`."""
        query = _DOCUMENT + (
            "AND d.kb_id = $2 AND ($3::uuid IS NULL OR d.id < $3) AND ($4::text IS NULL OR v.status = $4)"
            " ORDER BY d.id DESC LIMIT $5"
        )
        async with connection(self._pool, tenant_id) as conn:
            known = "SELECT true FROM knowledge_bases WHERE tenant_id = $1 AND id = $2"
            if not await conn.fetchval(known, tenant_id, kb_id):
                raise NotFound("No such knowledge base")
            rows = await conn.fetch(query, tenant_id, kb_id, after, status, limit + 1)
        return Page(tuple(_document(row) for row in rows[:limit]), _next_cursor(rows, limit))

    async def delete_document(self, tenant_id: UUID, document_id: UUID) -> list[str]:
        """See `KnowledgeRepository`."""
        async with transaction(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(
                "SELECT kb_id FROM documents WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, document_id
            )
            return await _delete_documents(conn, tenant_id, _found(row, "No such document")["kb_id"], [document_id])


async def _lock_document(conn: Connection, new: NewVersion) -> tuple[UUID, UUID | None]:
    """The document of that name, made if need be and locked, and its live version."""
    known = "SELECT true FROM knowledge_bases WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE"
    if not await conn.fetchval(known, new.tenant_id, new.kb_id):
        raise NotFound("No such knowledge base")
    row = await conn.fetchrow(
        "INSERT INTO documents (id, tenant_id, kb_id, name) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (kb_id, name) DO UPDATE SET name = excluded.name RETURNING id, live_version_id",
        new_id(),
        new.tenant_id,
        new.kb_id,
        new.name,
    )
    row = _found(row, "No such document")
    return row["id"], row["live_version_id"]


async def _supersede(conn: Connection, tenant_id: UUID, document_id: UUID, keep: set[UUID | None]) -> None:
    """End every version but those of `keep`, and have their objects deleted."""
    await conn.execute(
        """
        WITH ended AS (
            UPDATE document_versions
            SET status = 'superseded', lease_owner = NULL, lease_until = NULL, finished_at = now()
            WHERE tenant_id = $1 AND document_id = $2 AND status <> 'superseded' AND NOT id = ANY($3::uuid[])
            RETURNING object_key
        )
        INSERT INTO object_deletions (object_key) SELECT object_key FROM ended ON CONFLICT DO NOTHING
        """,
        tenant_id,
        document_id,
        [version_id for version_id in keep if version_id is not None],
    )


async def _insert_version(conn: Connection, new: NewVersion, document_id: UUID, owner: str, lease_s: float) -> None:
    if await conn.fetchval("DELETE FROM object_deletions WHERE object_key = $1 RETURNING true", new.object_key) is None:
        raise Unavailable("The upload took too long, send it again")
    await conn.execute(
        """
        INSERT INTO document_versions (id, tenant_id, kb_id, document_id, object_key, content_type, size_bytes, sha256,
                                       status, lease_owner, lease_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $9 = '' THEN 'pending' ELSE 'processing' END,
                nullif($9, ''), CASE WHEN $9 <> '' THEN now() + make_interval(secs => $10) END)
        """,
        new.version_id,
        new.tenant_id,
        new.kb_id,
        document_id,
        new.object_key,
        new.content_type,
        new.size_bytes,
        new.sha256,
        owner,
        lease_s,
    )


async def _delete_documents(conn: Connection, tenant_id: UUID, kb_id: UUID, document_ids: list[UUID]) -> list[str]:
    """Delete these (locked) documents of one base with all that hangs on them; returns the keys of their objects."""
    rows = await conn.fetch(
        "INSERT INTO object_deletions (object_key)"
        " SELECT object_key FROM document_versions"
        " WHERE tenant_id = $1 AND document_id = ANY($2::uuid[]) AND status <> 'superseded'"
        " ON CONFLICT (object_key) DO UPDATE SET not_before = now() RETURNING object_key",
        tenant_id,
        document_ids,
    )
    await conn.execute("DELETE FROM documents WHERE tenant_id = $1 AND id = ANY($2::uuid[])", tenant_id, document_ids)
    await add_events(conn, [(tenant_id, DocumentDeleted(document_id=id_, kb_id=kb_id)) for id_ in document_ids])
    await record_changes(conn, tenant_id, kb_id, document_ids)
    return [row["object_key"] for row in rows]


def _found(row: asyncpg.Record | None, message: str) -> asyncpg.Record:
    if row is None:
        raise NotFound(message)
    return row


def _next_cursor(rows: list[asyncpg.Record], limit: int) -> str | None:
    return str(rows[limit - 1]["id"]) if len(rows) > limit else None


def _base(row: asyncpg.Record) -> KnowledgeBase:
    return KnowledgeBase(**_fields(row))


def _document(row: asyncpg.Record) -> Document:
    return Document(**_fields(row))


def _fields(row: asyncpg.Record) -> dict[str, Any]:
    return dict(row)
