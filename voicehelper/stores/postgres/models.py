"""The table `models`, as tenants and the platform see and change it."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict
from voicehelper.models.catalogue_service import ModelRecord
from voicehelper.models.model import Kind, ModelEntry
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.models_rows import COLUMNS, columns_of, entry_of
from voicehelper.stores.postgres.pool import Pool, affected
from voicehelper.stores.postgres.wakeups import MODELS, notify

_RECORD = f"{COLUMNS}, created_at, updated_at"
_SEEN = "(tenant_id = $1 OR tenant_id IS NULL)"
_FIND = f"""
SELECT {_RECORD} FROM models
WHERE {_SEEN} AND ($2::text IS NULL OR kind = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""  # noqa: S608 - constants
_GET = f"SELECT {_RECORD} FROM models WHERE {_SEEN} AND id = $2"  # noqa: S608
_NAMES = f"SELECT name FROM models WHERE {_SEEN}"  # noqa: S608
_OWNED = "tenant_id IS NOT DISTINCT FROM $1"
_COUNT = f"SELECT count(*) FROM models WHERE {_OWNED}"  # noqa: S608
_REMOVE = f"DELETE FROM models WHERE {_OWNED} AND id = $2"  # noqa: S608
_TAKEN = "A model has this name"


class PostgresModels:
    """`models.catalogue_service.ModelStore` on the table `models`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, tenant_id: UUID, kind: Kind | None, before: UUID | None, limit: int) -> Sequence[ModelRecord]:
        """See `ModelStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return [_record(row) for row in await conn.fetch(_FIND, tenant_id, kind, before, limit)]

    async def get(self, tenant_id: UUID, model_id: UUID) -> ModelRecord | None:
        """See `ModelStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_GET, tenant_id, model_id)
        return _record(row) if row else None

    async def names(self, tenant_id: UUID | None) -> frozenset[str]:
        """See `ModelStore`."""
        async with connection(self._pool, tenant_id or SYSTEM) as conn:
            return frozenset(row["name"] for row in await conn.fetch(_NAMES, tenant_id))

    async def add(self, entry: ModelEntry, sealed: bytes | None, most: int) -> ModelRecord:
        """See `ModelStore`."""
        columns = {"id": entry.id, "tenant_id": entry.tenant_id, "api_key": sealed, **columns_of(entry)}
        places = ", ".join(f"${i}" for i in range(1, len(columns) + 1))
        query = f"INSERT INTO models ({', '.join(columns)}) VALUES ({places}) RETURNING {_RECORD}"  # noqa: S608
        try:
            async with transaction(self._pool, entry.tenant_id or SYSTEM) as conn:
                if await conn.fetchval(_COUNT, entry.tenant_id) >= most:
                    raise Conflict(f"There are at most {most} models")
                row = await conn.fetchrow(query, *columns.values())
                await notify(conn, MODELS)
        except asyncpg.UniqueViolationError as error:
            raise Conflict(_TAKEN) from error
        assert row is not None  # it was just written
        return _record(row)

    async def change(self, entry: ModelEntry, sealed: bytes | None, *, keep_key: bool) -> ModelRecord | None:
        """See `ModelStore`."""
        columns = dict(columns_of(entry)) | ({} if keep_key else {"api_key": sealed})
        sets = ", ".join(f"{name} = ${i}" for i, name in enumerate(columns, 4))
        query = f"""
            UPDATE models SET {sets}, version = version + 1, updated_at = now()
            WHERE {_OWNED} AND id = $2 AND version = $3 RETURNING {_RECORD}"""  # noqa: S608
        try:
            async with transaction(self._pool, entry.tenant_id or SYSTEM) as conn:
                row = await conn.fetchrow(query, entry.tenant_id, entry.id, entry.version, *columns.values())
                await notify(conn, MODELS)
        except asyncpg.UniqueViolationError as error:
            raise Conflict(_TAKEN) from error
        return _record(row) if row else None

    async def remove(self, entry: ModelEntry) -> bool:
        """See `ModelStore`."""
        async with transaction(self._pool, entry.tenant_id or SYSTEM) as conn:
            status = await conn.execute(_REMOVE, entry.tenant_id, entry.id)
            await notify(conn, MODELS)
        return affected(status) == 1


def _record(row: asyncpg.Record) -> ModelRecord:
    return ModelRecord(entry_of(row), row["created_at"], row["updated_at"])
