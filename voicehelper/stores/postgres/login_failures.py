"""Counters of failed logins in PostgreSQL."""

from datetime import UTC, datetime

from voicehelper.identity.lockout import Allowance, Count
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool

# Counts are forgotten with their window, and with an expired lock. A locked key is not touched: no row comes back.
_STALE = "(f.locked_until IS NOT NULL OR f.since + make_interval(secs => $3) <= $2::timestamptz)"
_COUNT = f"""
INSERT INTO login_failures AS f (key, failures, since, locked_until)
VALUES ($1, 1, $2::timestamptz, CASE WHEN $4::integer <= 1 THEN $2::timestamptz + make_interval(secs => $3) END)
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN {_STALE} THEN 1 ELSE f.failures + 1 END,
    since = CASE WHEN {_STALE} THEN $2::timestamptz ELSE f.since END,
    locked_until = CASE WHEN (CASE WHEN {_STALE} THEN 1 ELSE f.failures + 1 END) >= $4
                        THEN $2::timestamptz + make_interval(secs => $3) END
WHERE f.locked_until IS NULL OR f.locked_until <= $2::timestamptz
RETURNING failures"""  # noqa: S608 - constants
_LOCKED = "SELECT failures, locked_until FROM login_failures WHERE key = $1"
_TAKE_BACK = "UPDATE login_failures SET failures = failures - 1, locked_until = NULL WHERE key = $1 AND failures > 0"
_PRUNE = "DELETE FROM login_failures WHERE since < $1 AND (locked_until IS NULL OR locked_until < $1)"


class PostgresLoginFailures:
    """`identity.lockout.FailureStore` on the table `login_failures`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(self, allowance: Allowance, now: float, window_s: float) -> Count:
        """See `FailureStore`."""
        moment = datetime.fromtimestamp(now, UTC)
        async with connection(self._pool, SYSTEM) as conn:
            failures = await conn.fetchval(_COUNT, allowance.key, moment, window_s, allowance.failures)
            if failures is not None:
                return Count(failures)
            row = await conn.fetchrow(_LOCKED, allowance.key)
        until = row["locked_until"] if row else None
        # Between the two statements the lock may have been lifted: the attempt was refused all the same.
        return Count(row["failures"] if row else 0, until.timestamp() if until else now)

    async def forget(self, key: bytes) -> None:
        """See `FailureStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute("DELETE FROM login_failures WHERE key = $1", key)

    async def take_back(self, key: bytes) -> None:
        """See `FailureStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_TAKE_BACK, key)

    async def prune(self, before: float) -> None:
        """See `FailureStore`."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_PRUNE, datetime.fromtimestamp(before, UTC))
