"""What experiments need of stores. Every method raises `Unavailable`."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from voicehelper.ids import new_id
from voicehelper.models.experiments.model import Chosen, Exposure

TallyKey = tuple[UUID, str, str, int]
"""Experiment, variant, metric, bucket (of users, see `draw`; in `Batch.bins` of values, see `collector`)."""


@dataclass(slots=True)
class Tally:
    """So many values, their sum, and the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self.n += 1
        self.total += value
        self.squares += value * value


@dataclass(slots=True)
class Batch:
    """What was collected since the last one. Its id makes writing it twice harmless."""

    id: UUID = field(default_factory=new_id)
    exposures: dict[tuple[UUID, bytes], Exposure] = field(default_factory=dict)
    tallies: dict[TallyKey, Tally] = field(default_factory=dict)
    bins: dict[TallyKey, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.exposures or self.tallies or self.bins)


class BatchStore(Protocol):
    """Where batches go."""

    async def write(self, batch: Batch) -> None:
        """Add all of it, or none; nothing where a batch of this id was written before. What belongs to an experiment
        that was deleted is left out."""
        ...


class AssignmentStore(Protocol):
    """The truth about who has which variant."""

    async def keep(self, tenant_id: UUID, exposure: Exposure) -> Chosen | None:
        """Write `exposure` down, unless the subject has a variant that is still his: the earlier one stays. Returns
        what he has now; None where there is no such experiment any more."""
        ...

    async def find(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        """What he has or had last; None for nobody we know."""
        ...


class AssignmentCache(Protocol):
    """Answers of an `AssignmentStore` that other replicas got; may be away."""

    async def get(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        """What was put there."""
        ...

    async def put(self, tenant_id: UUID, experiment_id: UUID, subject: bytes, chosen: Chosen, now: float) -> None:
        """Remember until `chosen.until`."""
        ...
