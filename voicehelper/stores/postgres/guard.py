"""Connections whose transient failures come out as `Unavailable`, which the callers' retries understand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, Literal
from uuid import UUID

import asyncpg

from voicehelper.errors import Unavailable
from voicehelper.stores.postgres.pool import Connection, Pool

_TRANSIENT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.InternalClientError,  # the protocol broke off in the middle
)


class _System(Enum):
    SYSTEM = "system"


SYSTEM: Final = _System.SYSTEM
"""The scope of work that belongs to no tenant: queues, leases, logins before anybody is known."""

Scope = UUID | Literal[_System.SYSTEM]
"""On whose behalf a statement runs: a tenant, whose rows alone it can see, or the system."""


@asynccontextmanager
async def connection(pool: Pool, scope: Scope = SYSTEM) -> AsyncIterator[Connection]:
    """One connection that sees the rows of `scope`. Raises `Unavailable` when the server is lost or refuses for the
    moment."""
    try:
        async with pool.acquire() as acquired:
            yield acquired
    except _TRANSIENT as error:
        raise Unavailable("The database is not available") from error
    except asyncpg.InterfaceError as error:
        # asyncpg reports a connection lost under our hands, and our own mistakes, with this one class.
        if "clos" not in str(error):
            raise
        raise Unavailable("The database is not available") from error


@asynccontextmanager
async def transaction(pool: Pool, scope: Scope = SYSTEM) -> AsyncIterator[Connection]:
    """One connection within one transaction; raises as `connection` does."""
    async with connection(pool, scope) as acquired, acquired.transaction():
        yield acquired
