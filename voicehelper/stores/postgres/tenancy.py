"""On whose behalf a statement runs: the second wall between tenants, behind the `tenant_id` of every query."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, Literal
from uuid import UUID

from voicehelper.stores.postgres.pool import Connection, Pool


class _Special(Enum):
    SYSTEM = "system"
    OWNER = "owner"


SYSTEM: Final = _Special.SYSTEM
"""The scope of work that belongs to no tenant: queues, leases, logins before anybody is known."""

OWNER: Final = _Special.OWNER
"""The login user itself, which owns the tables: for DDL, advisory locks of a session. Nothing walls it in."""

Scope = UUID | Literal[_Special.SYSTEM, _Special.OWNER]
"""A tenant, whose rows alone are visible, or one of the above."""


@asynccontextmanager
async def acquire(pool: Pool, scope: Scope) -> AsyncIterator[Connection]:
    """A connection of the pool, in `scope`."""
    async with pool.acquire() as acquired:
        yield acquired


@asynccontextmanager
async def switched(connection: Connection, present: Scope, wanted: Scope) -> AsyncIterator[Connection]:
    """A savepoint of `connection`, which is in a transaction and scope `present`, in scope `wanted`."""
    async with connection.transaction():
        yield connection
