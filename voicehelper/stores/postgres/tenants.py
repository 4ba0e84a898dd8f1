"""Tenants in PostgreSQL. Who may see which is decided above: every statement here runs for the system."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound, VersionConflict
from voicehelper.events.catalogue import TenantCreated, TenantDisabled, TenantEnabled, TenantUpdated
from voicehelper.identity.model import User
from voicehelper.identity.tenants import Tenant, TenantChange, TenantQuery
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.identity import add_user, like
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Pool

_TENANT = "id, name, disabled, version, created_at, updated_at, hot_words"
_GET = f"SELECT {_TENANT} FROM tenants WHERE id = $1"  # noqa: S608 - constants
_FIND = f"""
SELECT {_TENANT} FROM tenants
WHERE ($1::text IS NULL OR name ILIKE $1) AND ($2::boolean IS NULL OR disabled = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4"""  # noqa: S608
_CREATE = f"INSERT INTO tenants (id, name) VALUES ($1, $2) RETURNING {_TENANT}"  # noqa: S608
_LOCK = "SELECT version FROM tenants WHERE id = $1 FOR UPDATE"
_CHANGE = f"""
UPDATE tenants SET name = coalesce($2, name), disabled = coalesce($3, disabled), hot_words = coalesce($4, hot_words),
                   version = version + 1, updated_at = now()
WHERE id = $1 RETURNING {_TENANT}"""  # noqa: S608


class PostgresTenants:
    """`identity.tenants.TenantStore` on the table `tenants`."""

    def __init__(self, pool: Pool, token_s: float) -> None:
        """`token_s`: the longest life of any token that learns of a change."""
        self._pool = pool
        self._token_s = token_s

    async def get(self, tenant_id: UUID) -> Tenant | None:
        """See `TenantStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            row = await conn.fetchrow(_GET, tenant_id)
        return _tenant(row) if row else None

    async def find(self, query: TenantQuery) -> Sequence[Tenant]:
        """See `TenantStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(_FIND, like(query.text), query.disabled, query.before, query.limit)
        return [_tenant(row) for row in rows]

    async def create(self, name: str, owner: User) -> Tenant:
        """See `TenantStore`."""
        async with transaction(self._pool, SYSTEM) as conn:
            try:
                row = await conn.fetchrow(_CREATE, owner.tenant_id, name)
            except asyncpg.UniqueViolationError as error:
                raise Conflict("A tenant has this name") from error
            await add_event(conn, owner.tenant_id, TenantCreated())
            await add_user(conn, owner)
        assert row is not None  # it was just written
        return _tenant(row)

    async def change(self, tenant_id: UUID, version: int, change: TenantChange) -> Tenant:
        """See `TenantStore`."""
        async with transaction(self._pool, SYSTEM) as conn:
            present = await conn.fetchval(_LOCK, tenant_id)
            if present is None:
                raise NotFound
            if present != version:
                raise VersionConflict(details={"version": present})
            try:
                row = await conn.fetchrow(_CHANGE, tenant_id, change.name, change.disabled, change.hot_words)
            except asyncpg.UniqueViolationError as error:
                raise Conflict("A tenant has this name") from error
            await record_change(conn, "tenant", tenant_id, tenant_id, self._token_s)
            if change.name is not None or change.hot_words is not None:
                await add_event(conn, tenant_id, TenantUpdated())
            if change.disabled is not None:
                await add_event(conn, tenant_id, TenantDisabled() if change.disabled else TenantEnabled())
        assert row is not None  # locked above
        return _tenant(row)


def _tenant(row: asyncpg.Record) -> Tenant:
    return Tenant(**dict(row) | {"hot_words": tuple(row["hot_words"])})
