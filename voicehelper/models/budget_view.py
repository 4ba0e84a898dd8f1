"""Every tenant's limits in this process's memory: a call of somebody without limits asks nobody."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from voicehelper.models.budgets import Budget, Limits, TenantLimits, by_tenant
from voicehelper.models.following import TableCopy, TableFeed
from voicehelper.models.model import Caller

_NONE: Final = TenantLimits()


class LiveLimits:
    """The limits that hold now, within `refresh_s` seconds after a change."""

    def __init__(self, feed: TableFeed[Budget], refresh_s: float = 2.0) -> None:
        self._feed = feed
        self._refresh_s = refresh_s
        self._copy: TableCopy[Budget] = TableCopy(self._take, "budgets")
        self._tenants: dict[UUID, TenantLimits] = {}

    def of(self, caller: Caller) -> tuple[Limits, Limits, Limits]:
        """For the tenant, the user and the key of `caller`."""
        return self._tenants.get(caller.tenant_id, _NONE).of(caller)

    async def refresh(self) -> None:
        """Read the table if it has changed. Raises `Unavailable`."""
        await self._copy.refresh(self._feed)

    async def run(self) -> None:
        """Follow the table, until cancelled."""
        await self._copy.run(self._feed, self._refresh_s)

    def _take(self, rows: Sequence[Budget]) -> None:
        self._tenants = by_tenant(rows)
