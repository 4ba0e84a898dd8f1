"""Tables that every process holds a copy of (`models.following`)."""

from typing import ClassVar

from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups


def mark_of(table: str) -> str:
    """The statement that gives a table's mark. Whatever wrote a row, `xmin` says so: a version that somebody forgot to
    raise would not. No order of commits matters."""
    return f"SELECT count(*) || '.' || coalesce(bit_xor(hashtextextended(id::text || xmin::text, 0)), 0) FROM {table}"  # noqa: S608


class PostgresTableFeed:
    """What all `TableFeed`s share; a subclass names statement and channel, and reads the rows."""

    statement: ClassVar[str]
    channel: ClassVar[str]

    def __init__(self, pool: Pool, wakeups: Wakeups) -> None:
        self._pool = pool
        self._wakeups = wakeups

    async def mark(self) -> str:
        """See `TableFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            return str(await conn.fetchval(self.statement))

    async def wait(self, timeout: float) -> None:
        """See `TableFeed`."""
        await self._wakeups.wait(self.channel, timeout)
