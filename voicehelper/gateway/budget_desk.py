"""Budgets and usage, as the routes see them: who may change what, and what is written down about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from voicehelper.errors import InvalidInput
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal
from voicehelper.models.budgets import KINDS, Budget, BudgetStore, Limits, SubjectKind, month_of, month_span
from voicehelper.models.counters import Used
from voicehelper.models.model import Caller
from voicehelper.models.usage_report import Group, UsageReports, UsageRow

_LONGEST: Final = timedelta(days=400)


class Remaining(Protocol):
    """Knows how far limits are used up."""

    async def left(self, caller: Caller) -> Sequence[tuple[Used, Limits]]:
        """Of tenant, user and key. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Left:
    """One of the caller's limits in this month."""

    kind: SubjectKind
    month: str
    used: Used
    limits: Limits


@dataclass(frozen=True)
class BudgetDesk:
    """Every change is written down in its own transaction."""

    store: BudgetStore
    reports: UsageReports
    remaining: Remaining
    acts: Acts

    async def create(self, by: Principal, kind: SubjectKind, subject_id: UUID | None, limits: Limits) -> Budget:
        """Raises `Conflict` when there is one for the subject, `NotFound` for no such subject, `InvalidInput`."""
        if kind == "tenant" and subject_id is not None:
            raise InvalidInput("A tenant's budget names no subject")
        _check(limits)
        async with self.acts.unit(by.tenant_id):
            budget = await self.store.add(by.tenant_id, kind, subject_id, limits)
            await self._record(by, "budget.created", budget)
        return budget

    async def change(self, by: Principal, budget_id: UUID, version: int, given: Mapping[str, int | None]) -> Budget:
        """`given`: new values by the names of `Limits`. Raises `NotFound`, `VersionConflict`, `InvalidInput`."""
        present = await self.store.get(by.tenant_id, budget_id)
        limits = replace(present.limits, **given)
        _check(limits)
        async with self.acts.unit(by.tenant_id):
            budget = await self.store.change(by.tenant_id, budget_id, version, limits)
            await self._record(by, "budget.changed", budget)
        return budget

    async def remove(self, by: Principal, budget_id: UUID) -> None:
        """Raises `NotFound`."""
        async with self.acts.unit(by.tenant_id):
            await self._record(by, "budget.deleted", await self.store.remove(by.tenant_id, budget_id))

    async def usage(
        self, by: Principal, group: Group, start: datetime | None, end: datetime | None
    ) -> tuple[datetime, datetime, Sequence[UsageRow]]:
        """The span and what was used in it; the present month where nothing is said. Raises `InvalidInput`."""
        first, last = month_span(self._month())
        start = (start or first).astimezone(UTC)
        end = (end or max(last, start + timedelta(days=1))).astimezone(UTC)
        if not start < end <= start + _LONGEST:
            raise InvalidInput("The span must end after it begins, within 400 days")
        return start, end, await self.reports.by(by.tenant_id, group, start, end)

    async def current(self, by: Principal) -> list[Left]:
        """The limits that hold for the caller himself; the tenant's too. Raises `Unavailable`."""
        caller = Caller(by.tenant_id, str(by.user_id), str(by.key_id) if by.key_id else "")
        month = self._month()
        found = zip(KINDS, await self.remaining.left(caller), strict=True)
        return [
            Left(kind, f"{month[:4]}-{month[4:]}", used, limits)
            for kind, (used, limits) in found
            if kind != "key" or by.key_id
        ]

    def _month(self) -> str:
        return month_of(int(self.acts.clock.now() * 1_000_000))

    async def _record(self, by: Principal, action: str, budget: Budget) -> None:
        facts: dict[str, Any] = {"kind": budget.kind, "limits": asdict(budget.limits)}
        if budget.subject_id is not None:
            facts[f"{budget.kind}_id"] = str(budget.subject_id)
        await self.acts.audit.record(act_of(by, action, "budget", budget.id, **facts))


def _check(limits: Limits) -> None:
    if not limits:
        raise InvalidInput("A budget has at least one limit")
    if limits.hard is not None and limits.soft is not None and limits.soft > limits.hard:
        raise InvalidInput("The soft limit must not be above the hard one")
