"""Connections whose transient failures come out as `Unavailable`, which the callers' retries understand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """One connection. Raises `Unavailable` when the server is lost or refuses for the moment."""
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
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One connection within one transaction; raises as `connection` does."""
    async with connection(pool) as acquired, acquired.transaction():
        yield acquired
