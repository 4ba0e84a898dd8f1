"""API keys in PostgreSQL, as their owners see them (`principals` looks them up to authenticate)."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.identity.api_keys import ApiKey
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.pool import Pool

_KEY = "id, tenant_id, user_id, name, permissions, created_at, expires_at, last_used_at"
_ADD = """
INSERT INTO api_keys (id, tenant_id, user_id, name, permissions, created_at, expires_at, secret_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_GET = f"SELECT {_KEY} FROM api_keys WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL"  # noqa: S608 - constants
_FIND = f"""
SELECT {_KEY} FROM api_keys
WHERE tenant_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR user_id = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4"""  # noqa: S608
_REVOKE = """
UPDATE api_keys SET revoked_at = now(), version = version + 1
WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING true"""


class PostgresApiKeys:
    """`identity.api_keys.ApiKeyStore` on the table `api_keys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, key: ApiKey, secret_hash: bytes) -> None:
        """See `ApiKeyStore`."""
        async with connection(self._pool, key.tenant_id) as conn:
            await conn.execute(
                _ADD,
                key.id,
                key.tenant_id,
                key.user_id,
                key.name,
                sorted(key.permissions),
                key.created_at,
                key.expires_at,
                secret_hash,
            )

    async def get(self, tenant_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `ApiKeyStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_GET, tenant_id, key_id)
        return _key(row) if row else None

    async def find(self, tenant_id: UUID, user_id: UUID | None, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """See `ApiKeyStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return [_key(row) for row in await conn.fetch(_FIND, tenant_id, user_id, before, limit)]

    async def revoke(self, tenant_id: UUID, key_id: UUID) -> bool:
        """See `ApiKeyStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            if not await conn.fetchval(_REVOKE, tenant_id, key_id):
                return False
            await record_change(conn, "key", tenant_id, key_id, 0)
        return True


def _key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(**{**dict(row), "permissions": frozenset(row["permissions"])})
