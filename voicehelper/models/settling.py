"""Ends of calls on their way to the counters, off the calls' own path.

They wait in this process while Redis is away, for a while; then they go straight into the table, marked as not counted.
Only where both stay away and the queue is full are any lost, and that is logged and counted as an error.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.counters import Counters, Holding, NotOpen
from voicehelper.models.ledger import Ledger, LedgerEntry
from voicehelper.models.model import Caller
from voicehelper.ports.clock import Clock
from voicehelper.retrying import backoff
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_BATCH: Final = 64  # behind it, on the same server, waits whoever reserves: some 2 ms
_PATIENCE_S: Final = 30.0
_LAST_S: Final = 4.0

Open = Callable[[UUID, str], Awaitable[None]]


class Settling:
    """A bounded queue and what empties it.

    Args:
        counters: where calls are settled.
        ledger: where they go when the counters stay away.
        limits_of: what holds for a caller now.
        open_month: brings a month's counters up to the ledger.
        clock: how long counters have been away.
        most: entries that wait; beyond half of that they go into the table.
    """

    def __init__(
        self,
        counters: Counters,
        ledger: Ledger,
        *,
        limits_of: Callable[[Caller], Holding],
        open_month: Open,
        clock: Clock,
        most: int = 20_000,
    ) -> None:
        self._counters = counters
        self._ledger = ledger
        self._limits_of = limits_of
        self._open_month = open_month
        self._clock = clock
        self._most = most
        self._waiting: deque[LedgerEntry] = deque()
        self._awaited: dict[UUID, asyncio.Future[None]] = {}
        self._unused: deque[tuple[UUID, UUID]] = deque()
        self._told: set[UUID] = set()
        self._news = asyncio.Event()
        self._away_since: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, entry: LedgerEntry) -> None:
        """Have `entry` settled. Does not wait."""
        if len(self._waiting) >= self._most:
            _drop(entry, "full")
            return
        self._waiting.append(entry)
        self._news.set()

    async def recorded(self, id_: UUID, timeout: float) -> None:
        """Wait until the entry with this id, put just now, is counted or in the table, at most `timeout` seconds."""
        if not any(entry.id == id_ for entry in reversed(self._waiting)):
            return
        self._awaited[id_] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((self._awaited[id_],), timeout=timeout)
        finally:
            del self._awaited[id_]

    def give_back(self, tenant_id: UUID, id_: UUID) -> None:
        """Have a reservation released whose call is not made. Does not wait; one that is lost here expires."""
        if len(self._unused) < self._most:
            self._unused.append((tenant_id, id_))
            self._news.set()

    def announce(self, tenant_id: UUID) -> None:
        """Tell the relay of a tenant. Does not wait."""
        self._told.add(tenant_id)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled; `close` does what is left then."""
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting or self._unused or self._told:
                try:
                    await self._step()
                    failures = 0
                except Unavailable as error:
                    if failures == 0:
                        log.warning("ledger.counters_away", error=error.message, waiting=len(self._waiting))
                    failures += 1
                    await self._away()
                    await self._clock.sleep(backoff(failures))
                metrics.QUEUE_LENGTH.labels("ledger").set(len(self._waiting))

    async def close(self) -> None:
        """Settle what waits, or write it into the table; a few seconds at most. Whoever put entries has stopped."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_LAST_S):
                while self._waiting:
                    await self._step()
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_LAST_S):
                while self._waiting:
                    await self._write()
        if self._waiting:
            log.error("ledger.entries_dropped", entries=len(self._waiting))
            metrics.LEDGER.labels("dropped").inc(len(self._waiting))
        self._waiting.clear()

    async def _step(self) -> None:
        """A batch; what fails stays in the queue, and settling twice counts once."""
        batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
        tenants = {entry.tenant_id for entry in batch} | self._told
        if tenants:
            await self._counters.announce(sorted(tenants))
            self._told -= tenants
        while self._unused:
            await self._counters.release(*self._unused[0])
            self._unused.popleft()
        ends = await asyncio.gather(*(self._settle(entry) for entry in batch), return_exceptions=True)
        for _ in batch:
            self._waiting.popleft()
        self._tell(entry for entry, end in zip(batch, ends, strict=True) if end is None)
        failed = [(entry, end) for entry, end in zip(batch, ends, strict=True) if isinstance(end, Unavailable)]
        self._waiting.extendleft(entry for entry, _ in reversed(failed))
        for entry, end in zip(batch, ends, strict=True):
            if isinstance(end, Exception) and not isinstance(end, Unavailable):  # it would fail for ever
                _drop(entry, type(end).__name__)
        for _, error in failed:
            raise error
        self._away_since = None

    async def _settle(self, entry: LedgerEntry) -> None:
        limits = self._limits_of(entry.caller)
        try:
            await self._counters.settle(entry, limits)
        except NotOpen:
            await self._open_month(entry.tenant_id, entry.month)
            try:
                await self._counters.settle(entry, limits)
            except NotOpen as error:
                raise Unavailable("The counters of this month are gone again") from error
        metrics.LEDGER.labels("counted").inc()

    async def _away(self) -> None:
        """The counters cannot be reached: after a while, or where too many wait, the table takes them."""
        now = self._clock.now()
        self._away_since = now if self._away_since is None else self._away_since
        while self._waiting and (now - self._away_since > _PATIENCE_S or len(self._waiting) > self._most // 2):
            try:
                await self._write()
            except Unavailable:
                return

    async def _write(self) -> None:
        batch = [self._waiting[i] for i in range(min(500, len(self._waiting)))]
        await self._ledger.write_uncounted(batch)
        for _ in batch:
            self._waiting.popleft()
        self._tell(batch)
        metrics.LEDGER.labels("uncounted").inc(len(batch))

    def _tell(self, recorded: Iterable[LedgerEntry]) -> None:
        for entry in recorded:
            awaited = self._awaited.get(entry.id)
            if awaited is not None and not awaited.done():
                awaited.set_result(None)


def _drop(entry: LedgerEntry, why: str) -> None:
    log.error("ledger.entry_dropped", entry=str(entry.id), micros=entry.cost_micros, why=why)
    metrics.LEDGER.labels("dropped").inc()
