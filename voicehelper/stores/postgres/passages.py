"""The chunks themselves. Only live ones are in the table: a new version replaces the old one's in one transaction."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.ports.search import Passage, Scope
from voicehelper.stores.postgres.guard import connection
from voicehelper.stores.postgres.pool import Pool

_PASSAGE = """
SELECT c.id, c.document_id, c.kb_id, d.name, c.position, c.page, c.heading, c.char_start, c.char_end, c.text
FROM chunks c JOIN documents d ON d.id = c.document_id AND d.tenant_id = c.tenant_id
WHERE c.tenant_id = $1 AND c.kb_id = ANY($2::uuid[])
"""
_FETCH = _PASSAGE + "AND c.id = ANY($3::uuid[])"
_NEIGHBOURS = f"""{_PASSAGE}
AND c.version_id = (SELECT version_id FROM chunks WHERE id = $3 AND tenant_id = $1) AND c.id <> $3
AND c.position BETWEEN $4 AND $5 ORDER BY c.position
"""  # noqa: S608 - constants
_WORDING = """
SELECT d.name, c.heading, c.text
FROM (SELECT id, name, updated_at FROM documents WHERE tenant_id = $1 ORDER BY updated_at DESC, id LIMIT 300) d
CROSS JOIN LATERAL (
    SELECT heading, text, position FROM chunks WHERE document_id = d.id AND tenant_id = $1 ORDER BY position LIMIT 5
) c
ORDER BY d.updated_at DESC, d.id, c.position
"""


class PostgresPassages:
    """`PassageStore`, and the wording of a tenant's documents."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, scope: Scope, chunk_ids: Sequence[UUID]) -> list[Passage]:
        """See `PassageStore`."""
        async with connection(self._pool, scope.tenant_id) as conn:
            rows = await conn.fetch(_FETCH, scope.tenant_id, list(scope.kb_ids), list(chunk_ids))
        found = {row["id"]: _passage(row) for row in rows}
        return [found[chunk_id] for chunk_id in chunk_ids if chunk_id in found]

    async def neighbours(self, scope: Scope, passage: Passage, before: int, after: int) -> list[Passage]:
        """See `PassageStore`."""
        first, last = passage.position - before, passage.position + after
        async with connection(self._pool, scope.tenant_id) as conn:
            rows = await conn.fetch(_NEIGHBOURS, scope.tenant_id, list(scope.kb_ids), passage.chunk_id, first, last)
        return [_passage(row) for row in rows]

    async def wording(self, tenant_id: UUID) -> list[str]:
        """Names, headings and texts of the beginnings of documents, 300 at most, the latest first."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(_WORDING, tenant_id)
        return ["\n".join((row["name"], *row["heading"], row["text"])) for row in rows]


def _passage(row: asyncpg.Record) -> Passage:
    return Passage(
        chunk_id=row["id"],
        document_id=row["document_id"],
        kb_id=row["kb_id"],
        document_name=row["name"],
        position=row["position"],
        page=row["page"],
        heading=tuple(row["heading"]),
        start=row["char_start"],
        end=row["char_end"],
        text=row["text"],
    )
