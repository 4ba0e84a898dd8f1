"""The table `models` as the catalogue in memory reads it: all of it, for the system."""

from collections.abc import Sequence

from voicehelper.models.catalogue import StoredModel
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.models_rows import COLUMNS, entry_of
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import MODELS, Wakeups

# Whatever wrote a row, `xmin` says so: a version that somebody forgot to raise would not. No order of commits matters.
_MARK = "SELECT count(*) || '.' || coalesce(bit_xor(hashtextextended(id::text || xmin::text, 0)), 0) FROM models"
_ALL = f"SELECT {COLUMNS}, api_key FROM models ORDER BY id"  # noqa: S608 - constants

_AT_ONCE = 200


class PostgresModelFeed:
    """`models.catalogue.ModelFeed` on the table `models`."""

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def mark(self) -> str:
        """See `ModelFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            return str(await conn.fetchval(_MARK))

    async def all(self) -> Sequence[StoredModel]:
        """See `ModelFeed`."""
        # In pieces: decoding takes 30 µs a row, and nothing else runs meanwhile.
        async with transaction(self._pool, SYSTEM) as conn:
            rows = conn.cursor(_ALL, prefetch=_AT_ONCE)
            return [StoredModel(entry_of(row), row["api_key"]) async for row in rows]

    async def wait(self, timeout: float) -> None:
        """See `ModelFeed`."""
        await self._wakeups.wait(MODELS, timeout)
