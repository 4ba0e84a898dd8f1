"""Connections that act for a tenant or for the system, whose transient failures come out as `Unavailable`.

Every statement runs in a scope (see `tenancy`). A request may open one transaction (`request_transaction`); what the
same task then does through `connection` and `transaction` takes part in it, as savepoints, whatever repository does it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from voicehelper.context import current_context
from voicehelper.effects import effects_after
from voicehelper.errors import NotFound, Unavailable
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.tenancy import OWNER, SYSTEM, Scope, switched, wanting
from voicehelper.telemetry import get_logger

__all__ = ["OWNER", "SYSTEM", "Scope", "connection", "request_transaction", "transaction"]

log = get_logger(__name__)

_TRANSIENT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.InternalClientError,  # the protocol broke off in the middle
)


@dataclass(slots=True)
class _Open:
    """The transaction of a request: on which pool, in which scope at the moment, and in which task."""

    pool: Pool
    scope: Scope
    connection: Connection
    task: "asyncio.Task[object] | None"


_REQUEST: ContextVar[_Open | None] = ContextVar("voicehelper_request_transaction", default=None)


@asynccontextmanager
async def connection(pool: Pool, scope: Scope) -> AsyncIterator[Connection]:
    """One connection that sees the rows of `scope`; within a request's transaction, that one's.

    Raises:
        Unavailable: the server is lost or refuses for the moment.
        NotFound: the scope is another tenant than the one the request was authenticated for, or a row of another
            tenant was to be written. Either is a mistake of ours, and logged as an error.
    """
    _check(scope)
    request = _joined(pool, scope)
    with _translated():
        if request is None:
            acquired = await _acquire(pool, scope)
            try:
                yield acquired
            finally:
                await pool.release(acquired)
            return
        present, request.scope = request.scope, scope
        try:
            async with switched(request.connection, present, scope):
                yield request.connection
        finally:
            request.scope = present


@asynccontextmanager
async def transaction(pool: Pool, scope: Scope) -> AsyncIterator[Connection]:
    """One connection within one transaction (a savepoint of the request's, where there is one); raises as
    `connection` does."""
    if _joined(pool, scope) is not None:
        async with connection(pool, scope) as joined:
            yield joined
        return
    async with connection(pool, scope) as acquired, acquired.transaction():
        yield acquired


@asynccontextmanager
async def request_transaction(pool: Pool, tenant_id: UUID) -> AsyncIterator[Connection]:
    """A transaction that everything this task does on `pool` within the block takes part in: it is committed at the
    end of the block, or nothing of it is. A nested one is a savepoint. Other tasks use connections of their own.
    What was left to `effects.after_commit` runs after the commit.

    Raises as `connection` does.
    """
    if _joined(pool, tenant_id) is not None:
        async with transaction(pool, tenant_id) as joined:
            yield joined
        return
    async with effects_after(), transaction(pool, tenant_id) as conn:
        token = _REQUEST.set(_Open(pool, tenant_id, conn, asyncio.current_task()))
        try:
            yield conn
        finally:
            _REQUEST.reset(token)


async def _acquire(pool: Pool, scope: Scope) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
    with wanting(scope):
        return await pool.acquire()


def _joined(pool: Pool, scope: Scope) -> _Open | None:
    """The request's transaction, if this task is the one that opened it: its children would share the connection."""
    request = _REQUEST.get()
    if request is None or request.pool is not pool or request.task is not asyncio.current_task() or scope is OWNER:
        return None
    return request


def _check(scope: Scope) -> None:
    tenant = current_context().tenant_id
    if tenant and isinstance(scope, UUID) and str(scope) != tenant:
        log.error("tenancy.scope_refused", scope=str(scope))
        raise NotFound


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _TRANSIENT as error:
        raise Unavailable("The database is not available") from error
    except asyncpg.InterfaceError as error:
        # asyncpg reports a connection lost under our hands, and our own mistakes, with this one class.
        if "clos" not in str(error):
            raise
        raise Unavailable("The database is not available") from error
    except asyncpg.InsufficientPrivilegeError as error:
        if "row-level security" not in str(error):
            raise
        log.error("tenancy.write_refused", table=error.table_name or "")
        raise NotFound from error
