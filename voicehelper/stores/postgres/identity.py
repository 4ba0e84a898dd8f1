"""Tenants and users in PostgreSQL."""

from datetime import datetime
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict
from voicehelper.identity.model import User
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.pool import Pool

_USERS = "SELECT u.id, u.tenant_id, u.email, u.password_hash, u.role, u.disabled FROM users u"


class PostgresUsers:
    """`UserRepository` on the tables `tenants` and `users`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def by_email(self, email: str) -> User | None:
        """The user with this address."""
        return await self._one(_USERS + " WHERE u.email = $1", email)

    async def get(self, tenant_id: UUID, user_id: UUID) -> User | None:
        """The user of this tenant."""
        return await self._one(_USERS + " WHERE u.tenant_id = $1 AND u.id = $2", tenant_id, user_id)

    async def record_login(self, user_id: UUID, at: datetime, new_hash: str | None) -> None:
        """Remember the login and, where given, the renewed hash."""
        async with connected(self._pool) as connection:
            await connection.execute(
                "UPDATE users SET last_login_at = $2, password_hash = coalesce($3, password_hash) WHERE id = $1",
                user_id,
                at,
                new_hash,
            )

    async def first_admin(self, tenant: str) -> User | None:
        """The oldest administrator of the tenant."""
        return await self._one(
            _USERS + " JOIN tenants t ON t.id = u.tenant_id"
            " WHERE t.name = $1 AND u.role = 'owner' ORDER BY u.id LIMIT 1",
            tenant,
        )

    async def create_admin(self, tenant: str, email: str, password_hash: str) -> User:
        """Create tenant and administrator. Raises `Conflict` when the address is taken."""
        async with transaction(self._pool) as connection:
            await connection.execute(
                "INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", new_id(), tenant
            )
            tenant_id = await connection.fetchval("SELECT id FROM tenants WHERE name = $1", tenant)
            user = User(new_id(), tenant_id, email, password_hash, "owner")
            try:
                await connection.execute(
                    "INSERT INTO users (id, tenant_id, email, password_hash, role, platform)"
                    " VALUES ($1, $2, $3, $4, $5, true)",
                    user.id,
                    tenant_id,
                    email,
                    password_hash,
                    user.role,
                )
            except asyncpg.UniqueViolationError as error:
                raise Conflict("This e-mail address is taken") from error
        return user

    async def _one(self, query: str, *arguments: object) -> User | None:
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(query, *arguments)
        return User(**dict(row)) if row else None
