"""Live latencies of all replicas, as this one knows them; and its own, while Redis is away."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.latency import bucket_of, quantile_ms

_STEP_S: Final = 1.0
_SLICE_S: Final = 60.0
SLICES: Final = 5
"""Minutes that count, the present one included."""

_P95: Final = 0.95
_UNUSED_S: Final = 600.0

Counts = Mapping[UUID, Mapping[int, int]]


class LatencyStore(Protocol):
    """The counts of all replicas."""

    async def add(self, counts: Counts) -> Mapping[UUID, Mapping[int, int]]:
        """Add these, of the last moment; the counts of the last minutes by all, for the same models (some of which may
        have nothing to add). Raises `Unavailable`."""
        ...


class LocalLatencies:
    """The counts of this process, by minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._slices: dict[int, defaultdict[UUID, Counter[int]]] = {}

    def add(self, counts: Counts) -> Mapping[UUID, Mapping[int, int]]:
        """See `LatencyStore`."""
        present = int(self._now() / _SLICE_S)
        for old in [slice_ for slice_ in self._slices if slice_ <= present - SLICES]:
            del self._slices[old]
        newest = self._slices.setdefault(present, defaultdict(Counter))
        for model_id, added in counts.items():
            newest[model_id].update(added)
        return {model_id: self._of(model_id) for model_id in counts}

    def _of(self, model_id: UUID) -> Mapping[int, int]:
        total: Counter[int] = Counter()
        for counts in self._slices.values():
            total.update(counts.get(model_id, {}))
        return total


class SharedLatencies:
    """`Latencies` of this replica: exchanged with the others each second."""

    def __init__(self, store: LatencyStore, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._local = LocalLatencies(now)
        self._new: defaultdict[UUID, Counter[int]] = defaultdict(Counter)
        self._p95: dict[UUID, float | None] = {}
        self._asked: dict[UUID, float] = {}

    def p95_ms(self, model_id: UUID) -> float | None:
        """See `Latencies`."""
        self._asked[model_id] = self._now()
        return self._p95.get(model_id)

    def record(self, model_id: UUID, first_ms: float) -> None:
        """See `Latencies`."""
        self._new[model_id][bucket_of(first_ms)] += 1

    async def run(self) -> None:
        """Keep in step with the others, until cancelled."""
        while True:
            await asyncio.sleep(_STEP_S)
            await self.exchange()

    async def exchange(self) -> None:
        """Tell what was recorded, and take over what all recorded."""
        oldest = self._now() - _UNUSED_S
        self._asked = {model_id: at for model_id, at in self._asked.items() if at >= oldest}
        counts: dict[UUID, Mapping[int, int]] = {model_id: {} for model_id in self._asked} | dict(self._new)
        self._new = defaultdict(Counter)
        if not counts:
            return
        own, known = self._local.add(counts), self._p95
        try:
            self._p95 = _p95(await self._store.add(counts))
        except Unavailable:  # what this replica sees itself is the next best, then what was known before
            self._p95 = {model_id: p95 or known.get(model_id) for model_id, p95 in _p95(own).items()}


def _p95(counts: Counts) -> dict[UUID, float | None]:
    return {model_id: quantile_ms(total, _P95) for model_id, total in counts.items()}
