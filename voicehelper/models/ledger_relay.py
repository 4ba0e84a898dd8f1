"""From the streams into the table, and from the table into counters that are new or were away."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.budgets import NO_LIMITS, month_of, months_before
from voicehelper.models.counters import Counters, NotOpen
from voicehelper.models.ledger import Ledger, Streamed
from voicehelper.models.reconcile import check
from voicehelper.ports.clock import Clock
from voicehelper.retrying import backoff
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

BATCH: Final = 500
_WHOLE: Final = 20_000
_POLL_S, _LOOK_S, _SEARCH_S = 0.25, 5.0, 600.0
_LIVELY_S, _QUIET_S = 5.0, 60.0
_PATIENCE_S = 10.0
_UNLIMITED: Final = (NO_LIMITS, NO_LIMITS, NO_LIMITS)


async def bring(counters: Counters, ledger: Ledger, tenant_id: UUID, patience_s: float = 0.0) -> int:
    """All that lies in a tenant's stream, into the table; returns how much that was. Killed anywhere in between, the
    next one does it again, to no other effect."""
    brought = 0
    while streamed := await counters.streamed(tenant_id, BATCH):
        async with ledger.turn(tenant_id, patience_s) as turn:
            if turn is None:
                return brought
            await turn.take(streamed)
        await counters.forget(tenant_id, [item.place for item in streamed])
        brought += len(streamed)
    return brought


async def open_month(counters: Counters, ledger: Ledger, tenant_id: UUID, month: str) -> None:
    """Bring the counters of a month up to the ledger, where they are not. Nothing counts before that, so the month's
    entries lie in the table or in the stream, and with the ledger locked none comes or goes.

    Raises `Unavailable`, also where somebody else holds the ledger for too long.
    """
    await bring(counters, ledger, tenant_id, _PATIENCE_S)
    async with ledger.turn(tenant_id, _PATIENCE_S) as turn:
        streamed: Sequence[Streamed] = await counters.streamed(tenant_id, _WHOLE)
        if turn is None or len(streamed) == _WHOLE:
            raise Unavailable("The ledger of this tenant is busy")
        await turn.take(streamed)
        opened = await counters.open(tenant_id, month, await turn.sums(month))
    await counters.forget(tenant_id, [item.place for item in streamed])
    log.info("budgets.month_opened", month=month, here=opened)


async def recount(counters: Counters, ledger: Ledger, tenant_id: UUID) -> None:
    """Tell the counters of rows that they could not be told of before. What was counted after all came through the
    stream, which is in the table by then."""
    closed: str | None = None
    async with ledger.turn(tenant_id, 0.0) as turn:
        streamed = await counters.streamed(tenant_id, _WHOLE)
        if turn is None or len(streamed) == _WHOLE:
            return
        await turn.take(streamed)
        await counters.announce([tenant_id])
        for entry in await turn.uncounted(BATCH):
            try:
                await counters.settle(entry, _UNLIMITED)
            except NotOpen:
                closed = entry.month
    await counters.forget(tenant_id, [item.place for item in streamed])
    if closed is not None:
        await open_month(counters, ledger, tenant_id, closed)


async def _mend(counters: Counters, ledger: Ledger, tenant_id: UUID, months: Sequence[str]) -> None:
    """What a restarted server lost after the relay had brought it away, the ledger knows."""
    found = await check(counters, ledger, tenant_id, months, fix=True)
    for month in found.months:
        if month.wrong:
            log.warning("budgets.counters_mended", month=month.month, micros=month.difference)


class LedgerRelay:
    """Does that for every tenant, until cancelled, and mends counters after the server was another. Any number of
    processes may run one."""

    def __init__(self, counters: Counters, ledger: Ledger, clock: Clock) -> None:
        self._counters = counters
        self._ledger = ledger
        self._clock = clock
        self._seen: dict[UUID, tuple[float, float]] = {}
        self._active: set[UUID] = set()
        self._server: str | None = None
        self._looked_at = self._searched_at = float("-inf")

    async def run(self) -> None:
        """Outlives engines that are away."""
        failures = 0
        while True:
            try:
                await self.turn()
                failures = 0
            except Unavailable as error:
                if failures == 0:
                    log.warning("ledger.relay_waits", error=error.message)
                failures += 1
            await self._clock.sleep(_POLL_S if failures == 0 else backoff(failures))

    async def turn(self) -> None:
        """Whatever came since. Raises `Unavailable`."""
        now = self._clock.now()
        if now - self._searched_at >= _SEARCH_S:  # what a process that died had not announced
            tenants = await self._ledger.tenants()
            if tenants:
                await self._counters.announce(tenants)
            self._searched_at = now
        announced = await self._counters.announced()
        self._seen = {tenant: seen for tenant, seen in self._seen.items() if tenant in announced}
        for tenant_id, number in announced.items():
            await self._serve(tenant_id, number, now)
        if now - self._looked_at >= _LOOK_S:
            await self._look(now)
            self._looked_at = now

    async def _look(self, now: float) -> None:
        for tenant_id in await self._ledger.tenants_uncounted():
            await recount(self._counters, self._ledger, tenant_id)
        server = await self._counters.server()
        if self._server not in {None, server}:
            month = month_of(int(now * 1_000_000))
            for tenant_id in {*self._active, *self._seen}:
                await _mend(self._counters, self._ledger, tenant_id, [months_before(month, 1), month])
        self._server, self._active = server, set(self._seen)

    async def _serve(self, tenant_id: UUID, number: float, now: float) -> None:
        seen, since = self._seen.get(tenant_id, (None, now))
        if seen != number:
            self._seen[tenant_id] = number, (since := now)
        if now - since > _QUIET_S:
            await self._counters.quiet(tenant_id, number)
        if now - since > _LIVELY_S:
            return
        try:
            await bring(self._counters, self._ledger, tenant_id)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - what one tenant's stream holds must not keep the others' waiting
            log.error("ledger.stuck", tenant_id=str(tenant_id), error=type(error).__name__)
