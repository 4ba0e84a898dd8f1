"""Which knowledge bases a tenant has: the cheap look-up on the way of every question."""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.errors import NotFound
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.pool import Pool

_ALL = "SELECT id FROM knowledge_bases WHERE tenant_id = $1 ORDER BY id"
_NAMED = """
SELECT id, name FROM knowledge_bases WHERE tenant_id = $1 AND (name = ANY ($2::text[]) OR id = ANY ($3::uuid[]))"""


class PostgresScopes:
    """`KnowledgeScopes` on the table `knowledge_bases`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def resolve(self, tenant_id: UUID, references: Sequence[str]) -> tuple[UUID, ...]:
        """Ids of the bases named by id or name, in the order asked; all of the tenant's for no reference.

        Raises:
            NotFound: one is not there; `details["knowledge_base"]` says which.
        """
        if not references:
            async with connected(self._pool, tenant_id) as connection:
                return tuple(row["id"] for row in await connection.fetch(_ALL, tenant_id))
        ids = [parsed for parsed in map(_uuid, references) if parsed is not None]
        async with connected(self._pool, tenant_id) as connection:
            rows = await connection.fetch(_NAMED, tenant_id, list(references), ids)
        by_reference = {row["name"]: row["id"] for row in rows}
        known = {row["id"] for row in rows}
        return tuple(dict.fromkeys(_pick(reference, by_reference, known) for reference in references))


def _pick(reference: str, by_name: dict[str, UUID], known: set[UUID]) -> UUID:
    parsed = _uuid(reference)
    if parsed is not None and parsed in known:
        return parsed
    if reference in by_name:
        return by_name[reference]
    raise NotFound("No such knowledge base", {"knowledge_base": reference})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
