"""Users in PostgreSQL, and the first tenant."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, InvalidInput, NotFound, VersionConflict
from voicehelper.events.catalogue import TenantCreated, UserCreated, UserDisabled, UserEnabled, UserUpdated
from voicehelper.events.fact import Fact
from voicehelper.identity.model import User, UserChange, UserQuery
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import SYSTEM, Scope, transaction
from voicehelper.stores.postgres.guard import connection as connected
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.outbox import add_event, add_events
from voicehelper.stores.postgres.pool import Connection, Pool

OWNER = "owner"
USERS = """
SELECT u.id, u.tenant_id, coalesce(u.email, '') AS email, coalesce(u.password_hash, '') AS password_hash, u.role,
       u.disabled, u.name, u.kind, u.platform, u.version, u.created_at, u.last_login_at,
       t.disabled AS tenant_disabled, u.erased_at IS NOT NULL AS erased
FROM users u JOIN tenants t ON t.id = u.tenant_id"""
_ONE = USERS + " WHERE u.tenant_id = $1 AND u.id = $2"
_BY_EMAIL = USERS + " WHERE u.email = $1"
_FIRST = USERS + " WHERE t.name = $1 AND u.role = 'owner' ORDER BY u.id LIMIT 1"
_FIND = (
    USERS
    + """
WHERE u.tenant_id = $1 AND u.kind = 'person' AND u.erased_at IS NULL
  AND ($2::text IS NULL OR u.email ILIKE $2 OR u.name ILIKE $2) AND ($3::text IS NULL OR u.role = $3)
  AND ($4::boolean IS NULL OR u.disabled = $4) AND ($5::uuid IS NULL OR u.id < $5)
ORDER BY u.id DESC LIMIT $6"""
)
_CREATE = """
INSERT INTO users (id, tenant_id, email, password_hash, role, name, kind, platform)
VALUES ($1, $2, nullif($3, ''), nullif($4, ''), $5, $6, $7, $8)"""
_POWERFUL = """
SELECT id, role = 'owner' AS owner, platform FROM users
WHERE tenant_id = $1 AND (role = 'owner' OR platform) AND NOT disabled AND erased_at IS NULL
ORDER BY id FOR UPDATE"""
_LOCK = """
SELECT version FROM users
WHERE tenant_id = $1 AND id = $2 AND kind = 'person' AND erased_at IS NULL FOR UPDATE"""
_CHANGE = """
UPDATE users SET name = coalesce($3, name), role = coalesce($4, role), disabled = coalesce($5, disabled),
                 platform = coalesce($6, platform), version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2"""
_RENEW = """
UPDATE users SET password_hash = $3, password_changed_at = $4, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND ($5::text IS NULL OR password_hash = $5) RETURNING true"""
_LOGIN = """
UPDATE users SET last_login_at = $3, password_hash = coalesce($4, password_hash)
WHERE tenant_id = $1 AND id = $2 AND password_hash = $5 AND NOT disabled AND erased_at IS NULL RETURNING true"""


class PostgresUsers:
    """`UserRepository` on the tables `tenants` and `users`."""

    def __init__(self, pool: Pool, access_token_s: float = 3600) -> None:
        """`access_token_s`: the life of the tokens that learn of a change."""
        self._pool = pool
        self._access_token_s = access_token_s

    async def by_email(self, email: str) -> User | None:
        """See `UserRepository`."""
        return await self._one(SYSTEM, _BY_EMAIL, email)

    async def get(self, tenant_id: UUID, user_id: UUID) -> User | None:
        """See `UserRepository`."""
        return await self._one(tenant_id, _ONE, tenant_id, user_id)

    async def find(self, tenant_id: UUID, query: UserQuery) -> Sequence[User]:
        """See `UserRepository`."""
        filters = (like(query.text), query.role, query.disabled, query.before, query.limit)
        async with connected(self._pool, tenant_id) as connection:
            rows = await connection.fetch(_FIND, tenant_id, *filters)
        return [User(**dict(row)) for row in rows]

    async def create(self, user: User) -> User:
        """See `UserRepository`."""
        async with transaction(self._pool, user.tenant_id) as connection:
            await hold_role(connection, user.tenant_id, user.role)
            await add_user(connection, user)
            return await _fetch(connection, user.tenant_id, user.id)

    async def change(self, tenant_id: UUID, user_id: UUID, version: int, change: UserChange) -> User:
        """See `UserRepository`."""
        async with transaction(self._pool, tenant_id) as connection:
            if change.weakens:  # before the user's row, so that locks have an order
                await keep_the_last(connection, tenant_id, user_id, change)
            present = await connection.fetchval(_LOCK, tenant_id, user_id)
            if present is None:
                raise NotFound
            if present != version:
                raise VersionConflict(details={"version": present})
            if change.role is not None:
                await hold_role(connection, tenant_id, change.role)
            values = (change.name, change.role, change.disabled, change.platform)
            await connection.execute(_CHANGE, tenant_id, user_id, *values)
            await record_change(connection, "user", tenant_id, user_id, self._access_token_s)
            await add_events(connection, [(tenant_id, fact) for fact in _facts(user_id, version + 1, change)])
            return await _fetch(connection, tenant_id, user_id)

    async def set_password(
        self, tenant_id: UUID, user_id: UUID, password_hash: str, at: datetime, replacing: str | None = None
    ) -> bool:
        """See `UserRepository`."""
        async with connected(self._pool, tenant_id) as connection:
            return bool(await connection.fetchval(_RENEW, tenant_id, user_id, password_hash, at, replacing))

    async def record_login(self, user: User, at: datetime, new_hash: str | None) -> bool:
        """See `UserRepository`."""
        async with connected(self._pool, user.tenant_id) as connection:
            return bool(await connection.fetchval(_LOGIN, user.tenant_id, user.id, at, new_hash, user.password_hash))

    async def first_admin(self, tenant: str) -> User | None:
        """See `UserRepository`."""
        return await self._one(SYSTEM, _FIRST, tenant)

    async def create_admin(self, tenant: str, email: str, password_hash: str) -> User:
        """See `UserRepository`."""
        async with transaction(self._pool, SYSTEM) as connection:
            made = await connection.fetchval(
                "INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING id",
                new_id(),
                tenant,
            )
            if made is not None:
                await add_event(connection, made, TenantCreated())
            tenant_id = made or await connection.fetchval("SELECT id FROM tenants WHERE name = $1", tenant)
            user = User(new_id(), tenant_id, email, password_hash, OWNER, platform=True)
            await add_user(connection, user)
            return await _fetch(connection, tenant_id, user.id)

    async def _one(self, scope: Scope, query: str, *arguments: object) -> User | None:
        async with connected(self._pool, scope) as connection:
            row = await connection.fetchrow(query, *arguments)
        return User(**dict(row)) if row else None


async def add_user(connection: Connection, user: User) -> None:
    """Insert a user within the caller's transaction. Raises `Conflict` when the address is taken."""
    try:
        await connection.execute(
            _CREATE,
            user.id,
            user.tenant_id,
            user.email,
            user.password_hash,
            user.role,
            user.name,
            user.kind,
            user.platform,
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict("This e-mail address is taken") from error
    await add_event(connection, user.tenant_id, UserCreated(user_id=user.id, kind=user.kind, role=user.role))


def _facts(user_id: UUID, version: int, change: UserChange) -> list[Fact]:
    """What happens to a user by `change`."""
    given = {"name": change.name, "role": change.role, "platform": change.platform}
    changed = tuple(name for name, value in given.items() if value is not None)
    facts: list[Fact] = []
    if changed:
        facts.append(UserUpdated(user_id=user_id, changed=changed, user_version=version))
    if change.disabled is not None:
        facts.append(UserDisabled(user_id=user_id) if change.disabled else UserEnabled(user_id=user_id))
    return facts


async def hold_role(connection: Connection, tenant_id: UUID, role: str) -> None:
    """Make sure that the role exists until the caller's transaction ends. Raises `InvalidInput` when it does not."""
    if role in BUILT_IN:
        return
    found = await connection.fetchval(
        "SELECT true FROM roles WHERE tenant_id = $1 AND name = $2 FOR SHARE", tenant_id, role
    )
    if not found:
        raise InvalidInput("No such role", {"role": role})


async def keep_the_last(connection: Connection, tenant_id: UUID, user_id: UUID, change: UserChange) -> None:
    """Make sure that `change` takes a tenant neither its last active owner nor its last administrator of the platform,
    and that the others stay until the caller's transaction ends. Raises `Conflict`."""
    rows = await connection.fetch(_POWERFUL, tenant_id)
    demoted = change.disabled or change.role not in {None, OWNER}
    if demoted and {row["id"] for row in rows if row["owner"]} == {user_id}:
        raise Conflict("The tenant's last owner must stay")
    dismissed = change.disabled or change.platform is False
    if dismissed and {row["id"] for row in rows if row["platform"]} == {user_id}:
        raise Conflict("The last administrator of the platform must stay")


async def _fetch(connection: Connection, tenant_id: UUID, user_id: UUID) -> User:
    row = await connection.fetchrow(_ONE, tenant_id, user_id)
    if row is None:
        raise NotFound
    return User(**dict(row))


def like(text: str | None) -> str | None:
    """The ILIKE pattern of what contains `text`, wildcards taken as they are; None for none."""
    if not text:
        return None
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
