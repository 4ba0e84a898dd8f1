"""What experiments need, without engines."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from voicehelper.errors import Unavailable
from voicehelper.models.experiments.model import Chosen, Experiment, Exposure, Target, Variant, Weights
from voicehelper.models.experiments.store import Batch, Tally


class FakeAssignments:
    """`AssignmentStore` and `BatchStore` in memory, by the rules of the one in PostgreSQL."""

    def __init__(self) -> None:
        self.rows: dict[tuple[UUID, bytes], Chosen] = {}
        self.first: dict[tuple[UUID, bytes], Chosen] = {}
        self.tallies: dict[tuple[UUID, str, str, int], Tally] = {}
        self.bins: dict[tuple[UUID, str, str, int], int] = {}
        self.batches: list[UUID] = []
        self.away = False
        self.hangs = False
        self.asked = 0

    async def keep(self, tenant_id: UUID, exposure: Exposure) -> Chosen | None:
        if self.hangs:
            await asyncio.sleep(3600)
        self._reach()
        return self._keep(exposure)

    async def find(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        self._reach()
        return self.rows.get((experiment_id, subject))

    async def write(self, batch: Batch) -> None:
        if self.away:
            raise Unavailable
        if batch.id in self.batches:
            return
        self.batches.append(batch.id)
        for exposure in batch.exposures.values():
            self._keep(exposure)
        for key, tally in batch.tallies.items():
            own = self.tallies.setdefault(key, Tally())
            own.n, own.total, own.squares = own.n + tally.n, own.total + tally.total, own.squares + tally.squares
        for key, n in batch.bins.items():
            self.bins[key] = self.bins.get(key, 0) + n

    def _reach(self) -> None:
        if self.away:
            raise Unavailable
        self.asked += 1

    def _keep(self, exposure: Exposure) -> Chosen:
        key, new = (exposure.experiment_id, exposure.subject), exposure.chosen
        old = self.rows.get(key)
        if old is None or old.until <= new.at or new.at < old.at:
            self.rows[key] = new
        self.first.setdefault(key, new)
        return self.rows[key]


class FakeAssignmentCache:
    """`AssignmentCache` in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[UUID, bytes], Chosen] = {}
        self.away = False

    async def get(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        if self.away:
            raise Unavailable
        return self.rows.get((experiment_id, subject))

    async def put(self, tenant_id: UUID, experiment_id: UUID, subject: bytes, chosen: Chosen, now: float) -> None:
        if self.away:
            raise Unavailable
        self.rows[experiment_id, subject] = chosen


def experiment_with(*shares: float, tenant_id: UUID | None = None, **values: Any) -> Experiment:
    """A running experiment on `auto` whose variants `a`, `b` ... have these shares, and use the models `m-a` ..."""
    variants = tuple(Variant(name, (f"m-{name}",)) for name in "abcdefgh"[: len(shares)])
    weights: Sequence[Weights] = (Weights(1, 0.0, shares),)
    return Experiment(
        **{
            "id": uuid4(),
            "tenant_id": tenant_id or uuid4(),
            "name": "x",
            "target": Target("model", "auto"),
            "variants": variants,
            "weights": weights,
            "salt": "salt",
            "status": "running",
        }
        | values
    )
