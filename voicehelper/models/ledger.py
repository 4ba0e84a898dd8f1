"""The usage ledger: a row a call, which says who paid what for which model.

An entry is born when a call is settled. The script that counts its cost puts it into a stream of the tenant, both or
neither; a relay brings it into the table. So at any moment a counter equals what is in the table and in the stream.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson

from voicehelper.models.budgets import month_of
from voicehelper.models.model import Caller, Reservation, Settlement


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A row. `at_us` is the time of the reservation in microseconds since 1970; ids are empty where there is none."""

    id: UUID
    tenant_id: UUID
    at_us: int
    user_id: str
    key_id: str
    feature: str
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_micros: int
    reserved_micros: int
    outcome: str
    estimated: bool
    experiment: str
    variant: str
    ms: float
    first_ms: float | None

    @property
    def caller(self) -> Caller:
        """Who pays."""
        return Caller(self.tenant_id, self.user_id, self.key_id, self.feature)

    @property
    def month(self) -> str:
        """The month it counts in."""
        return month_of(self.at_us)

    @property
    def tokens(self) -> int:
        """As limits of tokens a minute count them."""
        return self.prompt_tokens + self.completion_tokens


def entry_of(reservation: Reservation, settlement: Settlement) -> LedgerEntry:
    """The row of a call that is over."""
    caller, usage = reservation.caller, settlement.usage
    return LedgerEntry(
        id=reservation.id,
        tenant_id=caller.tenant_id,
        at_us=round(reservation.at * 1_000_000),
        user_id=_uuid(caller.user_id),
        key_id=_uuid(caller.key_id),
        feature=_text(caller.feature),
        model=_text(reservation.model),
        provider=_text(reservation.provider),
        prompt_tokens=max(0, usage.prompt_tokens),
        completion_tokens=max(0, usage.completion_tokens),
        cached_tokens=max(0, usage.cached_tokens),
        reasoning_tokens=max(0, usage.reasoning_tokens),
        cost_micros=max(0, settlement.cost_micros),
        reserved_micros=reservation.micros,
        outcome=_text(settlement.outcome),
        estimated=settlement.estimated,
        experiment=_text(settlement.experiment),
        variant=_text(settlement.variant),
        ms=settlement.ms,
        first_ms=settlement.first_ms,
    )


def encode(entry: LedgerEntry) -> str:
    """As JSON, for the stream."""
    return orjson.dumps(entry, default=str).decode()  # ids may be of the driver's own class


def decode(text: bytes) -> LedgerEntry:
    """What `encode` gave; fields that a newer writer added are left out. Raises `ValueError`, `TypeError`."""
    plain: dict[str, Any] = orjson.loads(text)
    known = {name: plain[name] for name in LedgerEntry.__slots__ if name in plain}
    return LedgerEntry(**{**known, "id": UUID(plain["id"]), "tenant_id": UUID(plain["tenant_id"])})


@dataclass(frozen=True, slots=True)
class Notice:
    """A limit was passed: `subject` as `subjects_of` names it, `level` `soft` or `hard`."""

    tenant_id: UUID
    month: str
    subject: str
    level: str
    limit: int
    spent: int


@dataclass(frozen=True, slots=True)
class Streamed:
    """What lies in a tenant's stream under `place`."""

    place: bytes
    entry: LedgerEntry | None = None
    notice: Notice | None = None


class LedgerTurn(Protocol):
    """One transaction on the ledger of a tenant, which nobody else works on meanwhile. Raises `Unavailable`."""

    async def take(self, streamed: Sequence[Streamed]) -> int:
        """Write down what came through the stream, each once however often it is given; events about passed limits go
        out with it. Returns how many entries were new."""
        ...

    async def sums(self, month: str) -> Mapping[str, int]:
        """Micro-dollars of a month by subject, of rows that the counters know."""
        ...

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        """Which of these are in the table and known to the counters."""
        ...

    async def gone(self, subjects: Sequence[str]) -> set[str]:
        """Which of these users and keys were erased: the table holds nobody's name in their place."""
        ...

    async def uncounted(self, limit: int) -> Sequence[LedgerEntry]:
        """Rows that the counters do not know."""
        ...


class Ledger(Protocol):
    """The table. Every method raises `Unavailable`."""

    def turn(self, tenant_id: UUID, patience_s: float) -> AbstractAsyncContextManager[LedgerTurn | None]:
        """A transaction with the tenant's ledger locked; None where somebody else has it for `patience_s` seconds."""
        ...

    async def write_uncounted(self, entries: Sequence[LedgerEntry]) -> None:
        """Write entries that the counters could not be told of; those already there stay as they are."""
        ...

    async def tenants_uncounted(self) -> Sequence[UUID]:
        """Whose ledgers have such rows."""
        ...

    async def tenants(self) -> Sequence[UUID]:
        """All tenants."""
        ...


def _uuid(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        return ""


def _text(value: str) -> str:
    return str(value).replace("\0", "")[:200]
