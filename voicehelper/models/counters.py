"""Counters of money and tokens, shared by all replicas: what each subject of a tenant has spent and set aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from voicehelper.models.budgets import Limits
from voicehelper.models.ledger import LedgerEntry, Streamed
from voicehelper.models.model import Caller, Reservation

Holding = tuple[Limits, Limits, Limits]
"""Limits of a caller's tenant, user and key."""


class NotOpen(Exception):
    """The counters of this month were not brought up to the ledger yet (`Opener`)."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Set aside. `soft`: a soft limit is passed."""

    soft: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was set aside, for the limit of `place` (0 tenant, 1 user, 2 key): of money, or of tokens where
    `wait_s` says when there may be room."""

    place: int
    spent: int = 0
    reserved: int = 0
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Of one subject: micro-dollars spent in the month and set aside, tokens within the last minute."""

    spent: int = 0
    reserved: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tenant's counters and stream at one moment.

    Attributes:
        months: micro-dollars by month and subject; None for a month that is not open.
        reserved: micro-dollars set aside by `month|subject`.
        held: the same, summed over the reservations themselves.
    """

    streamed: Sequence[Streamed] = ()
    months: Mapping[str, Mapping[str, int] | None] = field(default_factory=dict)
    reserved: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)


class Counters(Protocol):
    """Every method raises `Unavailable`; those that count raise `NotOpen`."""

    async def reserve(self, wanted: Reservation, limits: Holding, life_s: float) -> Admitted | Refused:
        """Set aside what is `wanted` against tenant, user and key at once, or against none; for `life_s` seconds."""
        ...

    async def settle(self, entry: LedgerEntry, limits: Holding) -> bool:
        """Put the cost in the reservation's place, and the entry into the stream; False if that was done before."""
        ...

    async def release(self, tenant_id: UUID, id_: UUID) -> None:
        """Give a reservation back whose call was never made."""
        ...

    async def left(self, caller: Caller, month: str) -> tuple[Used, Used, Used]:
        """Of tenant, user and key."""
        ...

    async def announce(self, tenant_ids: Sequence[UUID]) -> None:
        """Tell the relay that something may come through these tenants' streams; before it does."""
        ...

    async def announced(self) -> Mapping[UUID, float]:
        """Tenants that were announced, with a number that every announcement changes."""
        ...

    async def quiet(self, tenant_id: UUID, number: float) -> None:
        """Nothing came for long: forget the announcement, if `number` is still its number."""
        ...

    async def server(self) -> str:
        """Which run of the server this is: another after a restart or a failover, when it may have lost its newest."""
        ...

    async def streamed(self, tenant_id: UUID, limit: int) -> Sequence[Streamed]:
        """The oldest of a tenant's stream."""
        ...

    async def forget(self, tenant_id: UUID, places: Sequence[bytes]) -> None:
        """Take from the stream what is in the table."""
        ...

    async def open(self, tenant_id: UUID, month: str, sums: Mapping[str, int]) -> bool:
        """Have a month begin with these sums; False if it was open already, and nothing changed."""
        ...

    async def snapshot(self, tenant_id: UUID, months: Sequence[str]) -> Snapshot:
        """All at one moment."""
        ...

    async def adjust(self, tenant_id: UUID, month: str | None, by: Mapping[str, int]) -> None:
        """Add to an open month's counters, or (None) to what is set aside, at one moment."""
        ...
