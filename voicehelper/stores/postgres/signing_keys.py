"""Keys that sign access tokens, in PostgreSQL."""

from asyncpg import Record

from voicehelper.identity.key_ring import NewKey, StoredKey
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.pool import Connection, Pool

_COLUMNS = "kid, private_key, public_key, created_at, signs_from, verifies_until"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('voicehelper.signing_keys'))"


class PostgresSigningKeys:
    """`SigningKeyRepository` on the table `signing_keys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self) -> list[StoredKey]:
        """Keys that verify, the one that signs latest first."""
        async with connection(self._pool, SYSTEM) as conn:
            rows = await conn.fetch(
                f"SELECT {_COLUMNS} FROM signing_keys"  # noqa: S608 - our own columns
                " WHERE verifies_until IS NULL OR verifies_until > now() ORDER BY signs_from DESC, kid"
            )
        return [_stored(row) for row in rows]

    async def add_first(self, key: NewKey) -> bool:
        """Store the first key, unless there is one that will go on."""
        async with transaction(self._pool, SYSTEM) as conn:
            await conn.execute(_LOCK)
            if await conn.fetchval("SELECT EXISTS (SELECT FROM signing_keys WHERE verifies_until IS NULL)"):
                return False
            await _insert(conn, key, 0.0)
        return True

    async def rotate(self, key: NewKey, lead_s: float, keep_s: float) -> StoredKey:
        """The new key, the end of those before it, and the word to every replica: in one transaction."""
        async with transaction(self._pool, SYSTEM) as conn:
            await conn.execute(_LOCK)
            await conn.execute("DELETE FROM signing_keys WHERE verifies_until < now()")
            await conn.execute(
                "UPDATE signing_keys SET verifies_until = clock_timestamp() + make_interval(secs => $1)"
                " WHERE verifies_until IS NULL",
                lead_s + keep_s,
            )
            stored = await _insert(conn, key, lead_s)
            await record_change(conn, "signing_key", None, key.kid, keep_s)
        return stored


async def _insert(conn: Connection, key: NewKey, lead_s: float) -> StoredKey:
    row = await conn.fetchrow(
        "INSERT INTO signing_keys (kid, private_key, public_key, signs_from)"  # noqa: S608 - our own columns
        f" VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4)) RETURNING {_COLUMNS}",
        key.kid,
        key.sealed,
        key.public,
        lead_s,
    )
    assert row is not None  # RETURNING
    return _stored(row)


def _stored(row: Record) -> StoredKey:
    until = row["verifies_until"]
    return StoredKey(
        row["kid"],
        row["private_key"],
        row["public_key"],
        row["created_at"].timestamp(),
        row["signs_from"].timestamp(),
        until.timestamp() if until else None,
    )
