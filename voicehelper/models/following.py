"""A process's copy of a table, kept in step with the database: whoever looks something up asks nobody.

The table is read again whenever it changed: at a notification, and when a cheap look every few seconds shows another
mark. While the database is away the last copy holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from voicehelper.errors import Unavailable
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)


class TableFeed(Protocol[Row_co]):
    """Where a table is read from. `mark` and `rows` raise `Unavailable`."""

    async def mark(self) -> str:
        """Another text whenever any row is another; cheap."""
        ...

    async def rows(self) -> Sequence[Row_co]:
        """Every row, of every tenant."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when there may be news, or after `timeout` seconds."""
        ...


class TableCopy(Generic[Row]):
    """Hands all rows to `take` whenever they changed; `name` is for the log.

    Attributes:
        tried: set once the table was read, or reading it failed, for the first time.
    """

    def __init__(self, take: Callable[[Sequence[Row]], None], name: str) -> None:
        self.tried = asyncio.Event()
        self._take = take
        self._name = name
        self._mark: str | None = None

    async def refresh(self, feed: TableFeed[Row]) -> None:
        """Read the table if it has changed. Raises `Unavailable`."""
        try:
            mark = await feed.mark()  # before the rows: a change in between shows again
            if mark != self._mark:
                self._take(await feed.rows())
                self._mark = mark
        finally:
            self.tried.set()

    async def run(self, feed: TableFeed[Row], refresh_s: float) -> None:
        """Follow the table, until cancelled."""
        away = False
        while True:
            try:
                await self.refresh(feed)
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("table.away", table=self._name, error=error.message)
                away = True
            await feed.wait(refresh_s)
