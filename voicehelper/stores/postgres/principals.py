"""Users, roles and API keys as authentication asks for them: one statement each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from voicehelper.identity.standing import ApiKeyFacts, UserFacts
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool

_USER = """
SELECT u.tenant_id, u.id AS user_id, u.role, u.kind, u.platform, r.permissions AS granted,
       NOT u.disabled AND u.erased_at IS NULL AND NOT t.disabled AS active
FROM users u
JOIN tenants t ON t.id = u.tenant_id
LEFT JOIN roles r ON r.tenant_id = u.tenant_id AND r.name = u.role
WHERE u.tenant_id = $1 AND u.id = $2
"""
_API_KEY = """
SELECT id, tenant_id, user_id, secret_hash, permissions, expires_at, revoked_at IS NOT NULL AS revoked
FROM api_keys WHERE id = $1
"""
_NOTE_USES = """
UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, used.at)
FROM unnest($1::uuid[], $2::timestamptz[]) AS used (id, at) WHERE k.id = used.id
"""


class PostgresPrincipals:
    """`PrincipalRepository` on the tables `users`, `tenants`, `roles` and `api_keys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def user(self, tenant_id: UUID, user_id: UUID) -> UserFacts | None:
        """The user of this tenant, with the permissions of its role."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_USER, tenant_id, user_id)
        if row is None:
            return None
        granted = row["granted"]
        return UserFacts(**{**dict(row), "granted": None if granted is None else frozenset(granted)})

    async def api_key(self, key_id: UUID) -> ApiKeyFacts | None:
        """The key of this id. Nobody's tenant is known before."""
        async with connection(self._pool, SYSTEM) as conn:
            row = await conn.fetchrow(_API_KEY, key_id)
        if row is None:
            return None
        expires_at = row["expires_at"]
        return ApiKeyFacts(
            row["id"],
            row["tenant_id"],
            row["user_id"],
            row["secret_hash"],
            frozenset(row["permissions"]),
            expires_at.timestamp() if expires_at else None,
            row["revoked"],
        )

    async def note_key_uses(self, uses: Mapping[UUID, float]) -> None:
        """Remember the latest use of each key."""
        moments = [datetime.fromtimestamp(at, UTC) for at in uses.values()]
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_NOTE_USES, list(uses), moments)
