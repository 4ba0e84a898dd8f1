"""The asyncpg pool every repository works on: jsonb as Python values, pgvector columns as numpy arrays, UTC times."""

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import numpy as np
import orjson
from numpy.typing import NDArray

from voicehelper.errors import Unavailable
from voicehelper.stores.postgres.tenancy import ScopedConnection, prepare, tidy

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

Vector = NDArray[np.float32] | Sequence[float]

_VECTOR_TYPES = {"halfvec": ">f2", "vector": ">f4"}
_CONNECT_ERRORS = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError)


async def create_pool(dsn: str, *, min_size: int = 1, max_size: int = 8, timeout: float = 10.0) -> Pool:
    """A pool whose connections speak our types. Repositories use it through `guard`, in the scope of a tenant or the
    system; what is acquired from it directly acts as the login user, whom nothing walls in.

    `json`/`jsonb` go in and out as Python values; `vector`/`halfvec` go in as any sequence of numbers and come out as
    float32 arrays; UUIDs and timestamps are native (`uuid.UUID`, aware `datetime`).

    Args:
        dsn: `postgresql://user:password@host:port/database`.
        min_size: connections opened at once.
        max_size: most connections of this process; `acquire` waits beyond it.
        timeout: seconds to establish one connection.

    Raises:
        Unavailable: the server cannot be reached.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout,
            command_timeout=60,
            connection_class=ScopedConnection,
            init=_init_connection,
            setup=prepare,
            reset=tidy,
        )
    except _CONNECT_ERRORS as error:
        raise Unavailable("The database cannot be reached") from error
    return pool


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One connection within one transaction: committed at the end of the block, rolled back if it raises."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


def affected(status: str) -> int:
    """Rows of a command tag: `affected("UPDATE 3") == 3`."""
    return int(status.rsplit(" ", 1)[-1])


async def _init_connection(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads, format="text"
        )
    # The extension's types exist only after the first migration, and possibly not in `public`.
    rows = await connection.fetch(
        "SELECT t.typname, n.nspname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
        " WHERE t.typname = ANY($1::text[])",
        list(_VECTOR_TYPES),
    )
    for row in rows:
        dtype = _VECTOR_TYPES[row["typname"]]
        await connection.set_type_codec(
            row["typname"],
            schema=row["nspname"],
            encoder=partial(_encode_vector, dtype=dtype),
            decoder=partial(_decode_vector, dtype=dtype),
            format="binary",
        )


def _encode_json(value: Any) -> str:
    return orjson.dumps(value, default=_json_default).decode()


def _json_default(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"Not JSON serialisable: {type(value).__name__}")


def _encode_vector(value: Vector, dtype: str) -> bytes:
    """pgvector's binary format: int16 dimensions, int16 zero, big-endian components."""
    array = np.ascontiguousarray(value, dtype=dtype)
    return struct.pack(">HH", array.shape[0], 0) + array.tobytes()


def _decode_vector(data: bytes, dtype: str) -> NDArray[np.float32]:
    return np.frombuffer(data, dtype=dtype, offset=4).astype(np.float32)
