"""A tenant's own roles in PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound, VersionConflict
from voicehelper.identity.roles import Role
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.pool import Pool

_ROLE = "name, permissions, description, version, created_at, updated_at"
_ALL = f"SELECT {_ROLE} FROM roles WHERE tenant_id = $1 ORDER BY name"  # noqa: S608 - constants
_GET = f"SELECT {_ROLE} FROM roles WHERE tenant_id = $1 AND name = $2"  # noqa: S608
_ADD = f"""
INSERT INTO roles (tenant_id, name, permissions, description)
SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM roles WHERE tenant_id = $1) < $5
RETURNING {_ROLE}"""  # noqa: S608
_LOCK = "SELECT version FROM roles WHERE tenant_id = $1 AND name = $2 FOR UPDATE"
_CHANGE = f"""
UPDATE roles SET permissions = coalesce($3, permissions), description = coalesce($4, description),
                 version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND name = $2 RETURNING {_ROLE}"""  # noqa: S608
_USED = "SELECT true FROM users WHERE tenant_id = $1 AND role = $2 AND erased_at IS NULL LIMIT 1"
_DELETE = "DELETE FROM roles WHERE tenant_id = $1 AND name = $2"


class PostgresRoles:
    """`identity.roles.RoleStore` on the table `roles`."""

    def __init__(self, pool: Pool, access_token_s: float) -> None:
        """`access_token_s`: the life of the tokens that learn of a change."""
        self._pool = pool
        self._access_token_s = access_token_s

    async def all(self, tenant_id: UUID) -> Sequence[Role]:
        """See `RoleStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return [_role(row) for row in await conn.fetch(_ALL, tenant_id)]

    async def get(self, tenant_id: UUID, name: str) -> Role | None:
        """See `RoleStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_GET, tenant_id, name)
        return _role(row) if row else None

    async def add(self, tenant_id: UUID, role: Role, most: int) -> Role:
        """See `RoleStore`."""
        arguments = (tenant_id, role.name, sorted(role.permissions), role.description, most)
        try:
            async with transaction(self._pool, tenant_id) as conn:
                row = await conn.fetchrow(_ADD, *arguments)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("A role has this name") from error
        if row is None:
            raise Conflict(f"A tenant has at most {most} roles of its own")
        return _role(row)

    async def change(
        self,
        tenant_id: UUID,
        name: str,
        version: int,
        permissions: frozenset[str] | None,
        description: str | None,
    ) -> Role:
        """See `RoleStore`."""
        wanted = sorted(permissions) if permissions is not None else None
        async with transaction(self._pool, tenant_id) as conn:
            present = await conn.fetchval(_LOCK, tenant_id, name)
            if present is None:
                raise NotFound
            if present != version:
                raise VersionConflict(details={"version": present})
            row = await conn.fetchrow(_CHANGE, tenant_id, name, wanted, description)
            await record_change(conn, "role", tenant_id, name, self._access_token_s)
        assert row is not None  # locked above
        return _role(row)

    async def remove(self, tenant_id: UUID, name: str) -> None:
        """See `RoleStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            if await conn.fetchval(_LOCK, tenant_id, name) is None:
                raise NotFound
            # Whoever gives somebody the role holds its row meanwhile (`hold_role`): this statement sees what he did.
            if await conn.fetchval(_USED, tenant_id, name):
                raise Conflict("Somebody has this role")
            await conn.execute(_DELETE, tenant_id, name)
            await record_change(conn, "role", tenant_id, name, self._access_token_s)


def _role(row: asyncpg.Record) -> Role:
    return Role(**{**dict(row), "permissions": frozenset(row["permissions"])})
