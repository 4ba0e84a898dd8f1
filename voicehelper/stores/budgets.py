"""`Budgets` on counters in Redis, kept level with the ledger in PostgreSQL."""

import asyncio
from dataclasses import replace
from typing import Final
from uuid import UUID

from voicehelper.errors import BudgetExceeded, TokensLimited, Unavailable
from voicehelper.ids import new_id
from voicehelper.models.budget_view import LiveLimits
from voicehelper.models.budgets import KINDS, Limits, month_of
from voicehelper.models.counters import Admitted, Counters, Holding, NotOpen, Refused, Used
from voicehelper.models.ledger import Ledger, entry_of
from voicehelper.models.ledger_relay import open_month
from voicehelper.models.model import Caller, ModelEntry, Reservation, Settlement
from voicehelper.models.settling import Settling
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

NEVER_MADE: Final = "released"
_RECORDED_S: Final = 0.25
_BYTES_A_TOKEN: Final = 3  # of the worst case a usual prompt is about a third: limits a minute are no money


class RedisBudgets:
    """`Budgets`.

    Args:
        counters: of all replicas.
        ledger: the truth behind them.
        limits: what holds, in this process's memory.
        clock: decides the month a call counts in.
        life_s: of a reservation that is never settled.
    """

    def __init__(
        self, counters: Counters, ledger: Ledger, limits: LiveLimits, clock: Clock, life_s: float = 600.0
    ) -> None:
        self._counters = counters
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._life_s = life_s
        self._opening: dict[tuple[UUID, str], asyncio.Task[None]] = {}
        self.settling = Settling(counters, ledger, limits_of=limits.of, open_month=self._open, clock=clock)

    async def reserve(
        self, caller: Caller, entry: ModelEntry, prompt_tokens: int, completion_tokens: int
    ) -> Reservation:
        """See `Budgets`. `prompt_tokens` are the most that the provider may count (`models.worst_case`). Only where a
        limit holds does this ask the counters, in one round trip; what costs nothing passes every limit of money."""
        at_us = int(self._clock.now() * 1_000_000)
        free = Reservation(new_id(), caller, entry.name, entry.provider, 0, 0, False, at_us / 1_000_000)
        limits, micros = self._limits.of(caller), entry.price.most(prompt_tokens, completion_tokens)
        limited = any(limits) if micros else any(limit.tokens is not None for limit in limits)
        if not limited:
            return free
        tokens = -(-prompt_tokens // _BYTES_A_TOKEN) + completion_tokens
        wanted = replace(free, micros=micros, tokens=tokens)
        answer = await self._ask(wanted, limits)
        if isinstance(answer, Refused):
            raise self._refusal(caller, answer, limits)
        return replace(wanted, soft=answer.soft)

    def settle(self, reservation: Reservation, settlement: Settlement) -> None:
        """See `Budgets`. A call that was never made (`released`) leaves no row. A cost that we only
        estimate is at most what was reserved; one that the provider states counts as it is."""
        if settlement.outcome == NEVER_MADE:
            if reservation.micros or reservation.tokens:
                self.settling.give_back(reservation.caller.tenant_id, reservation.id)
            return
        if settlement.estimated and 0 < reservation.micros < settlement.cost_micros:
            settlement = replace(settlement, cost_micros=reservation.micros)  # more it cannot have been
        entry = entry_of(reservation, settlement)
        if 0 < reservation.micros < entry.cost_micros:
            over = entry.cost_micros - reservation.micros
            log.error("budgets.cost_above_reservation", model=entry.model, provider=entry.provider, micros=over)
            metrics.LEDGER.labels("above_reservation").inc()
        self.settling.put(entry)

    async def recorded(self, reservation: Reservation) -> None:
        """See `Budgets`."""
        await self.settling.recorded(reservation.id, _RECORDED_S)

    async def left(self, caller: Caller) -> list[tuple[Used, Limits]]:
        """What tenant, user and key of `caller` have used this month, each with its limits. Raises `Unavailable`."""
        month = month_of(int(self._clock.now() * 1_000_000))
        try:
            used = await self._counters.left(caller, month)
        except NotOpen:
            await self._open(caller.tenant_id, month)
            used = await self._counters.left(caller, month)
        return list(zip(used, self._limits.of(caller), strict=True))

    async def close(self) -> None:
        """Bring away what is not settled yet."""
        await self.settling.close()

    async def _ask(self, wanted: Reservation, limits: Holding) -> Admitted | Refused:
        tenant_id = wanted.caller.tenant_id
        try:
            try:
                return await self._counters.reserve(wanted, limits, self._life_s)
            except NotOpen:
                await self._open(tenant_id, month_of(round(wanted.at * 1_000_000)))
                return await self._counters.reserve(wanted, limits, self._life_s)
        except NotOpen as error:
            raise Unavailable("The counters of this month are gone again") from error
        except BaseException:  # cancelled, or no answer came in time: it may have been set aside all the same
            self.settling.give_back(tenant_id, wanted.id)
            raise

    def _refusal(self, caller: Caller, refused: Refused, limits: Holding) -> BudgetExceeded | TokensLimited:
        kind, limit = KINDS[refused.place], limits[refused.place]
        metrics.BUDGET_REFUSALS.labels(kind, "money" if refused.wait_s is None else "tokens").inc()
        if refused.wait_s is not None:
            return TokensLimited(details={"limit": kind, "tokens_per_minute": limit.tokens}, retry_after=refused.wait_s)
        self.settling.announce(caller.tenant_id)  # the notice that a limit was passed
        facts = {"limit_micros": limit.hard, "spent_micros": refused.spent, "reserved_micros": refused.reserved}
        return BudgetExceeded(details={"budget": kind, **facts})

    async def _open(self, tenant_id: UUID, month: str) -> None:
        """Once for all calls of this process that wait for it."""
        key = tenant_id, month
        if key not in self._opening:
            task = asyncio.create_task(open_month(self._counters, self._ledger, tenant_id, month))
            self._opening[key] = task
            task.add_done_callback(lambda _: self._opening.pop(key, None))
        await asyncio.shield(self._opening[key])
