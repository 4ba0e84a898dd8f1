"""Limits of money and tokens: whose, how much, and which of them hold for a caller. Money is in micro-dollars."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from voicehelper.models.model import Caller

SubjectKind = Literal["tenant", "user", "key"]

KINDS: Final[tuple[SubjectKind, ...]] = ("tenant", "user", "key")
"""In the order in which limits are asked, and told of."""

LARGEST: Final = 10**15
"""The largest limit, a billion dollars: sums of it are exact in Lua's doubles."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a calendar month (UTC) in micro-dollars, and of a sliding minute in tokens; None for no limit."""

    hard: int | None = None
    soft: int | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        return self.hard is not None or self.soft is not None or self.tokens is not None


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that somebody set.

    Attributes:
        subject_id: the user or key; None for the tenant itself, and for every user or key without a budget of its own.
        version: counts its changes.
    """

    id: UUID
    tenant_id: UUID
    kind: SubjectKind
    subject_id: UUID | None
    limits: Limits
    version: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """All limits of a tenant, by subject; None as a key stands for every other one of its kind."""

    tenant: Limits = NO_LIMITS
    users: dict[str | None, Limits] = field(default_factory=dict)
    keys: dict[str | None, Limits] = field(default_factory=dict)

    def of(self, caller: Caller) -> tuple[Limits, Limits, Limits]:
        """What holds for the tenant, the user and the key of `caller`, in this order."""
        return self.tenant, _holding(self.users, caller.user_id), _holding(self.keys, caller.key_id)


def by_tenant(budgets: Sequence[Budget]) -> dict[UUID, TenantLimits]:
    """Limits as callers need them."""
    found: dict[UUID, tuple[list[Limits], dict[str | None, Limits], dict[str | None, Limits]]] = {}
    for budget in budgets:
        tenant, users, keys = found.setdefault(budget.tenant_id, ([], {}, {}))
        if budget.kind == "tenant":
            tenant.append(budget.limits)
        else:
            subject = None if budget.subject_id is None else str(budget.subject_id)
            (users if budget.kind == "user" else keys)[subject] = budget.limits
    return {
        tenant_id: TenantLimits(tenant[0] if tenant else NO_LIMITS, users, keys)
        for tenant_id, (tenant, users, keys) in found.items()
    }


def subjects_of(caller: Caller) -> tuple[str, str, str]:
    """Names of tenant, user and key among a tenant's counters; `u:` and `k:` count calls of no user, and of no key."""
    return "t", f"u:{caller.user_id}", f"k:{caller.key_id}"


def month_of(at_us: int) -> str:
    """The month in UTC of a time in microseconds since 1970: `202611`."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y%m")


def month_span(month: str) -> tuple[datetime, datetime]:
    """Where a month begins and where the next one does. Raises `ValueError` for none."""
    start = datetime.strptime(month, "%Y%m").replace(tzinfo=UTC)
    return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def months_before(month: str, count: int) -> str:
    """The month so many months before."""
    months = int(month[:4]) * 12 + int(month[4:]) - 1 - count
    return f"{months // 12:04}{months % 12 + 1:02}"


def _holding(limits: dict[str | None, Limits], subject: str) -> Limits:
    if not subject:
        return NO_LIMITS
    return limits.get(subject) or limits.get(None, NO_LIMITS)


class BudgetStore(Protocol):
    """Where budgets lie. Every method raises `Unavailable`."""

    async def all(self, tenant_id: UUID, before: UUID | None, limit: int) -> Sequence[Budget]:
        """A tenant's, newest first; `before` is the id of the last of the page before."""
        ...

    async def get(self, tenant_id: UUID, budget_id: UUID) -> Budget:
        """One. Raises `NotFound`."""
        ...

    async def add(self, tenant_id: UUID, kind: SubjectKind, subject_id: UUID | None, limits: Limits) -> Budget:
        """A new one. Raises `Conflict` when the subject has one, `NotFound` for a user or key that there is not."""
        ...

    async def change(self, tenant_id: UUID, budget_id: UUID, version: int, limits: Limits) -> Budget:
        """Other limits. Raises `NotFound`, `VersionConflict`."""
        ...

    async def remove(self, tenant_id: UUID, budget_id: UUID) -> Budget:
        """The one that was. Raises `NotFound`."""
        ...
