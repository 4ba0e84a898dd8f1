"""Dense search on pgvector. Each vector space (embedding model) has a partial HNSW index of its own.

A small scope is searched exactly: that is fast and misses nothing, while HNSW under a selective filter does miss.
A large one goes through HNSW with iterative scans, so that the filter cannot starve the result.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from voicehelper.ports.embedder import Vectors
from voicehelper.ports.search import Hit, Scope
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.pool import Connection, Pool

EXACT_UP_TO = 5_000
"""Chunks in scope up to which every vector is compared: about 0.8 ms a thousand (384 dimensions)."""

_SIZE_TTL_S = 10.0
_HNSW_SETTINGS = "SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = 100"
_BUILD_LOCK = 0x766563746F72
_BUILD_POLL_S = 0.5
_BUILD_LIMIT_S = 86400.0


class PgVectorIndex:
    """`VectorIndex` on the `chunks` table."""

    def __init__(self, pool: Pool, exact_up_to: int = EXACT_UP_TO) -> None:
        self._pool = pool
        self._exact_up_to = exact_up_to
        self._large: dict[Scope, tuple[float, bool]] = {}

    async def search(self, scope: Scope, vector: Vectors, k: int, model: str, also: Sequence[UUID] = ()) -> list[Hit]:
        """See `VectorIndex`; scores are cosines. Raises `Unavailable` when PostgreSQL is down."""
        if not scope.kb_ids:
            return []
        arguments = (vector, scope.tenant_id, list(scope.kb_ids), k, list(also))
        async with guard.connection(self._pool, scope.tenant_id) as connection:
            rows: list[asyncpg.Record] = []
            if await self._is_large(connection, scope):
                async with connection.transaction(readonly=True):
                    await connection.execute(_HNSW_SETTINGS)
                    rows = await connection.fetch(_search_sql(model, len(vector), exact=False), *arguments)
            if sum(row["near"] for row in rows) < k:
                rows = await connection.fetch(_search_sql(model, len(vector), exact=True), *arguments)
        return [Hit(row["id"], row["score"]) for row in {row["id"]: row for row in rows}.values()]

    async def _is_large(self, connection: Connection, scope: Scope) -> bool:
        """Whether the scope holds more chunks than are compared one by one; looked up every few seconds."""
        now = time.monotonic()
        known = self._large.get(scope)
        if known is not None and now < known[0]:
            return known[1]
        count = await connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM chunks WHERE tenant_id = $1 AND kb_id = ANY($2::uuid[]) LIMIT $3) c",
            scope.tenant_id,
            list(scope.kb_ids),
            self._exact_up_to + 1,
        )
        self._large = {key: value for key, value in self._large.items() if now < value[0]}
        self._large[scope] = (now + _SIZE_TTL_S, count > self._exact_up_to)
        return bool(count > self._exact_up_to)


async def ensure_vector_index(pool: Pool, model: str, dimensions: int) -> None:
    """Build the HNSW index of vector space `model` unless it is there; searches and writes go on meanwhile.

    One process builds, others wait. The invalid remains of a build that was killed are replaced.
    """
    name = f"chunks_hnsw_{hashlib.sha256(model.encode()).hexdigest()[:12]}"
    async with guard.connection(pool, guard.OWNER) as connection:
        if await _index_is_valid(connection, name):
            return
        # Polled, not waited for: a statement that waits for the lock is one whose end the build itself waits for.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _BUILD_LOCK):  # noqa: ASYNC110
            await asyncio.sleep(_BUILD_POLL_S)
        try:
            if not await _index_is_valid(connection, name):
                await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", timeout=_BUILD_LIMIT_S)
                await connection.execute(
                    f"CREATE INDEX CONCURRENTLY {name} ON chunks USING hnsw"
                    f" ((embedding::halfvec({dimensions:d})) halfvec_cosine_ops)"
                    f" WHERE embedding_model = {_literal(model)}",
                    timeout=_BUILD_LIMIT_S,
                )
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _BUILD_LOCK)


async def _index_is_valid(connection: Connection, name: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT coalesce(bool_and(indisvalid), false) FROM pg_index WHERE indexrelid = to_regclass($1)", name
        )
    )


def _search_sql(model: str, dimensions: int, *, exact: bool) -> str:
    """The statement (kept prepared by asyncpg) for `(vector, tenant, kbs, k, also)`.

    The model is a literal, because a generic plan could not prove a partial index's condition from a parameter.
    Adding zero to the distance takes the index out of the question.
    """
    distance = f"(embedding::halfvec({dimensions:d}) <=> $1::halfvec({dimensions:d}))"
    order = f"{distance} + 0" if exact else distance
    where = f"tenant_id = $2 AND kb_id = ANY($3::uuid[]) AND embedding_model = {_literal(model)}"
    columns = f"id, 1 - {distance} AS score"
    near = f"SELECT {columns}, true AS near FROM chunks WHERE {where} ORDER BY {order} LIMIT $4"  # noqa: S608
    named = f"SELECT {columns}, false FROM chunks WHERE {where} AND id = ANY($5::uuid[])"  # noqa: S608
    return f"({near}) UNION ALL ({named}) ORDER BY score DESC"


def _literal(text: str) -> str:
    """A model name of our configuration as a string literal."""
    return "'" + text.replace("'", "''") + "'"
