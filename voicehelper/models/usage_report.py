"""What was used and what it cost: the ledger, summed by whatever one asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

Group = Literal["user", "key", "model", "provider", "feature", "day", "outcome"]

MOST_GROUPS: Final = 1000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The calls of one group. `group` is an id, a name or a day (2026-11-22, UTC), as asked; empty for calls without.

    `errors` are calls that neither answered nor were cancelled by whoever asked.
    """

    group: str
    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_micros: int


class UsageReports(Protocol):
    """Reads the ledger. Raises `Unavailable`."""

    async def by(self, tenant_id: UUID, group: Group, start: datetime, end: datetime) -> Sequence[UsageRow]:
        """Calls with start <= time < end, dearest group first (days in order), at most `MOST_GROUPS`."""
        ...

    async def by_tenant(self, start: datetime, end: datetime) -> Sequence[UsageRow]:
        """The same by tenant, for the platform."""
        ...
