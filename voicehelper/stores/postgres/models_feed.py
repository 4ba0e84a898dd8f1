"""The table `models` as the catalogue in memory reads it: all of it, for the system."""

from collections.abc import Sequence

from voicehelper.models.catalogue import StoredModel
from voicehelper.stores.postgres.feeds import PostgresTableFeed, mark_of
from voicehelper.stores.postgres.guard import SYSTEM, transaction
from voicehelper.stores.postgres.models_rows import COLUMNS, entry_of
from voicehelper.stores.postgres.wakeups import MODELS

_ALL = f"SELECT {COLUMNS}, api_key FROM models ORDER BY id"  # noqa: S608 - constants

_AT_ONCE = 200


class PostgresModelFeed(PostgresTableFeed):
    """`TableFeed` of the table `models`."""

    statement = mark_of("models")
    channel = MODELS

    async def rows(self) -> Sequence[StoredModel]:
        """See `TableFeed`."""
        # In pieces: decoding takes 30 µs a row, and nothing else runs meanwhile.
        async with transaction(self._pool, SYSTEM) as conn:
            rows = conn.cursor(_ALL, prefetch=_AT_ONCE)
            return [StoredModel(entry_of(row), row["api_key"]) async for row in rows]
