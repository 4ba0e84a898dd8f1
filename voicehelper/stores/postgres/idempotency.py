"""Idempotency keys in PostgreSQL. Responses are stored encrypted: they may hold a secret that is shown only once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, IdempotencyMismatch, RequestInProgress
from voicehelper.idempotency.model import KEPT_S, Earlier, StoredResponse, WriteKey
from voicehelper.identity.secrets import SecretBox
from voicehelper.stores.postgres.guard import SYSTEM, connection, request_transaction
from voicehelper.stores.postgres.pool import Connection, Pool, affected

PURPOSE = "idempotency"
"""Of the `SecretBox` that responses are sealed with."""

_ROW = "tenant_id = $1 AND actor_id = $2 AND key_hash = $3"
# A row may be taken over once its day is over, or its lease: the process that held it died, or its line broke.
_CLAIM = f"""
INSERT INTO idempotency_keys AS k (tenant_id, actor_id, key_hash, fingerprint, locked_until, message_id, expires_at)
SELECT $1, $2, $3, $4, now() + make_interval(secs => $5), $6, now() + make_interval(secs => {KEPT_S})
WHERE $7::bigint IS NULL OR pg_try_advisory_xact_lock($7)
ON CONFLICT (tenant_id, actor_id, key_hash) DO UPDATE
SET fingerprint = excluded.fingerprint, locked_until = excluded.locked_until, message_id = excluded.message_id,
    status = NULL, headers = DEFAULT, body = NULL, created_at = now(), expires_at = excluded.expires_at
WHERE k.expires_at <= now() OR k.fingerprint = excluded.fingerprint AND k.locked_until <= now()
RETURNING true"""
_EARLIER = f"""
SELECT fingerprint, locked_until, status, headers, body, message_id, expires_at <= now() AS expired
FROM idempotency_keys WHERE {_ROW}"""  # noqa: S608 - constants
_FINISH = f"""
UPDATE idempotency_keys SET locked_until = NULL, status = $4, headers = $5, body = $6 WHERE {_ROW}"""  # noqa: S608
_EXTEND = f"""
UPDATE idempotency_keys SET locked_until = now() + make_interval(secs => $4)
WHERE {_ROW} AND locked_until IS NOT NULL"""  # noqa: S608
_DROP = f"DELETE FROM idempotency_keys WHERE {_ROW}"  # noqa: S608
_PRUNE = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED))"""
_RETRY_S = 1.0
_SPARE = 2  # connections of the pool that are never all taken by requests' transactions


async def claim(
    conn: Connection,
    write: WriteKey,
    *,
    message_id: UUID | None = None,
    lease_s: float | None = None,
    wait: bool = True,
) -> Earlier | None:
    """Claim the key within the caller's transaction, which is in the scope of its tenant.

    Args:
        message_id: the answer that a repetition of this question is to be given.
        lease_s: the claim can be taken over after so many seconds; None for a claim that lasts.
        wait: for the transaction of another request with this key to end, instead of calling it running.

    Returns:
        None where the key is the caller's now, else what the first request with it has left.

    Raises:
        IdempotencyMismatch: the key was used for another request.
    """
    lock = None if wait else write.lock
    if await conn.fetchval(_CLAIM, *_place(write), write.fingerprint, lease_s, message_id, lock):
        return None
    row = await conn.fetchrow(_EARLIER, *_place(write))
    if row is None or row["expired"]:
        return Earlier(running=True)  # somebody is claiming it at this moment
    if row["fingerprint"] != write.fingerprint:
        raise IdempotencyMismatch
    return Earlier(row["locked_until"] is not None, _response(row), row["message_id"])


class PostgresIdempotency:
    """`IdempotencyStore` on the table `idempotency_keys`."""

    def __init__(self, pool: Pool, box: SecretBox) -> None:
        """`box` is one for `PURPOSE`."""
        self._pool = pool
        self._box = box
        # Who holds a transaction may have to wait for what another task does on a connection of its own.
        self._slots = asyncio.Semaphore(max(1, pool.get_max_size() - _SPARE))

    @asynccontextmanager
    async def once(self, write: WriteKey) -> AsyncIterator["PostgresClaim"]:
        """See `IdempotencyStore`."""
        async with self._slots, request_transaction(self._pool, write.tenant_id) as conn:
            earlier = await claim(conn, write, wait=False)
            yield PostgresClaim(conn, write, self._box, self._opened(write, earlier))

    async def begin(self, write: WriteKey, lease_s: float) -> StoredResponse | None:
        """See `IdempotencyStore`."""
        async with connection(self._pool, write.tenant_id) as conn:
            earlier = await claim(conn, write, lease_s=lease_s)
        return self._opened(write, earlier)

    async def extend(self, write: WriteKey, lease_s: float) -> None:
        """See `IdempotencyStore`."""
        async with connection(self._pool, write.tenant_id) as conn:
            await conn.execute(_EXTEND, *_place(write), lease_s)

    async def finish(self, write: WriteKey, response: StoredResponse | None) -> None:
        """See `IdempotencyStore`."""
        async with connection(self._pool, write.tenant_id) as conn:
            kept = PostgresClaim(conn, write, self._box, None)
            await (kept.drop() if response is None else kept.keep(response))

    async def prune(self, limit: int) -> int:
        """Forget up to `limit` keys whose time is over; returns how many."""
        async with connection(self._pool, SYSTEM) as conn:
            return affected(await conn.execute(_PRUNE, limit))

    def _opened(self, write: WriteKey, earlier: Earlier | None) -> StoredResponse | None:
        if earlier is None:
            return None
        if earlier.response is None:
            raise RequestInProgress(retry_after=_RETRY_S)
        sealed = earlier.response
        try:
            return StoredResponse(sealed.status, sealed.headers, self._box.open(sealed.body, _bound(write)))
        except ValueError as error:  # the master key was replaced meanwhile
            raise Conflict("What this key wrote is done, its response can no longer be read") from error


class PostgresClaim:
    """`idempotency.Claim`."""

    def __init__(self, conn: Connection, write: WriteKey, box: SecretBox, stored: StoredResponse | None) -> None:
        self._conn = conn
        self._write = write
        self._box = box
        self.stored = stored

    async def keep(self, response: StoredResponse) -> None:
        """See `Claim`."""
        body = self._box.seal(response.body, _bound(self._write))
        await self._conn.execute(_FINISH, *_place(self._write), response.status, response.headers, body)

    async def drop(self) -> None:
        """See `Claim`."""
        await self._conn.execute(_DROP, *_place(self._write))


def _place(write: WriteKey) -> tuple[UUID, UUID, bytes]:
    return write.tenant_id, write.actor_id, write.key_hash


def _bound(write: WriteKey) -> bytes:
    return write.tenant_id.bytes + write.actor_id.bytes + write.key_hash


def _response(row: asyncpg.Record) -> StoredResponse | None:
    """The response as stored, its body sealed."""
    if row["status"] is None:
        return None
    return StoredResponse(row["status"], tuple((name, value) for name, value in row["headers"]), row["body"])
