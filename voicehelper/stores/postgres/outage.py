"""A lost database is `Unavailable` to everybody above the stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from voicehelper.errors import Unavailable
from voicehelper.stores.postgres.pool import Connection, Pool

OUTAGE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,  # raised for a connection or pool that closed under us
)
_ACQUIRE_S = 10.0
_RETRY_AFTER_S = 2.0


@asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[Connection]:
    """A pooled connection for the block. Raises `Unavailable` when the server is gone or goes away meanwhile."""
    try:
        async with pool.acquire(timeout=_ACQUIRE_S) as connection:
            yield connection
    except OUTAGE as error:
        raise Unavailable("The database cannot be reached", retry_after=_RETRY_AFTER_S) from error
