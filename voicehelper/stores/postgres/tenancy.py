"""On whose behalf a statement runs: the second wall between tenants, behind the `tenant_id` of every query.

A scope is a role of PostgreSQL that row-level security holds in (migration 0003), and for a tenant its id in the
setting `app.tenant_id`. A pooled connection keeps its scope when given back; the next user's is set only if it differs.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from uuid import UUID

import asyncpg

TENANT_ROLE = "voicehelper_tenant"
SYSTEM_ROLE = "voicehelper_system"


class _Special(Enum):
    SYSTEM = "system"
    OWNER = "owner"


SYSTEM: Final = _Special.SYSTEM
"""The scope of work that belongs to no tenant: queues, leases, logins before anybody is known."""

OWNER: Final = _Special.OWNER
"""The login user itself, which owns the tables: for DDL and locks of a session. Nothing walls it in."""

Scope = UUID | Literal[_Special.SYSTEM, _Special.OWNER]
"""A tenant, whose rows alone are visible, or one of the above."""

_WANTED: ContextVar[Scope] = ContextVar("voicehelper_wanted_scope", default=OWNER)

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection


class ScopedConnection(_Base):
    """A connection that knows the scope it is in."""

    __slots__ = ("scope",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope: Scope = OWNER

    async def enter(self, scope: Scope) -> None:
        """Change the scope of the session, in one round trip; none if it is the present one."""
        if scope != self.scope:
            await self.execute(_statement(scope, local=False))
            self.scope = scope


@contextmanager
def wanting(scope: Scope) -> Iterator[None]:
    """What the pool hands out within the block is in `scope`."""
    token = _WANTED.set(scope)
    try:
        yield
    finally:
        _WANTED.reset(token)


async def prepare(connection: Any) -> None:
    """The pool's `setup`: runs before a connection is handed out. Without `wanting`, it is the login user's."""
    await cast(ScopedConnection, connection).enter(_WANTED.get())


async def tidy(connection: Any) -> None:
    """The pool's `reset`, after asyncpg has rolled back and dropped listeners. Within a scope nobody leaves anything
    in the session, so there is nothing to ask the server for; the login user may (locks, settings)."""
    if cast(ScopedConnection, connection).scope is OWNER:
        await connection.execute(connection.get_reset_query())


@asynccontextmanager
async def switched(connection: Any, present: Scope, wanted: Scope) -> AsyncIterator[None]:
    """A savepoint of `connection`, which is in a transaction in scope `present`; the block runs in scope `wanted`.

    Settings are part of the transaction: where the block raises, rolling back restores them too.
    """
    async with connection.transaction():
        if wanted == present:
            yield
            return
        await connection.execute(_statement(wanted, local=True))
        yield
        await connection.execute(_statement(present, local=True))


def _statement(scope: Scope, *, local: bool) -> str:
    role, tenant = _SPECIAL[scope] if isinstance(scope, _Special) else (TENANT_ROLE, str(scope))
    return (
        f"SELECT pg_catalog.set_config('role', '{role}', {local}),"
        f" pg_catalog.set_config('app.tenant_id', '{tenant}', {local})"
    )


_SPECIAL: dict[_Special, tuple[str, str]] = {SYSTEM: (SYSTEM_ROLE, ""), OWNER: ("none", "")}
