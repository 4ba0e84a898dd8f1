"""Every tenant's limits in this process's memory: a call of somebody without limits asks nobody.

The table is read again whenever it changed: at a notification, and when a cheap look every few seconds shows another
mark. While the database is away the last copy holds.
"""

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.budgets import Budget, Limits, TenantLimits, by_tenant
from voicehelper.models.model import Caller
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_NONE: Final = TenantLimits()


class BudgetFeed(Protocol):
    """Where budgets are read from. Raises `Unavailable`."""

    async def mark(self) -> str:
        """Another text whenever any row is another; cheap."""
        ...

    async def everything(self) -> Sequence[Budget]:
        """Every budget of every tenant."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when there may be news, or after `timeout` seconds."""
        ...


class LiveLimits:
    """The limits that hold now, within `refresh_s` seconds after a change."""

    def __init__(self, feed: BudgetFeed, refresh_s: float = 2.0) -> None:
        self._feed = feed
        self._refresh_s = refresh_s
        self._mark: str | None = None
        self._tenants: dict[UUID, TenantLimits] = {}

    def of(self, caller: Caller) -> tuple[Limits, Limits, Limits]:
        """For the tenant, the user and the key of `caller`."""
        return self._tenants.get(caller.tenant_id, _NONE).of(caller)

    async def refresh(self) -> None:
        """Read the table if it has changed. Raises `Unavailable`."""
        mark = await self._feed.mark()  # before the rows: a change in between shows again
        if mark != self._mark:
            self._tenants = by_tenant(await self._feed.everything())
            self._mark = mark

    async def run(self) -> None:
        """Follow the table, until cancelled."""
        away = False
        while True:
            await self._feed.wait(self._refresh_s)
            try:
                await self.refresh()
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("budgets.limits_away", error=error.message)
                away = True
