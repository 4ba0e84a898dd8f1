"""Gathers exposures and outcomes in memory and writes them in batches, off the path of calls.

At most one batch waits to be written, beside the one being filled: while the database is away both stay, and what is
added goes into sums, so that memory grows with users and not with calls. A process that is killed loses its last
second.
"""

import asyncio
import math
from contextlib import suppress
from uuid import UUID

from voicehelper.errors import Unavailable, VoiceHelperError
from voicehelper.models.experiments.model import LATENCIES, Exposure
from voicehelper.models.experiments.store import Batch, BatchStore, Tally
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

EVERY_S = 1.0
_MOST_EXPOSURES = 200_000  # while the database is away; some 60 MB
_LAST_S = 5.0
_WIDTH = math.log(1.05)


def bin_of(value: float) -> int:
    """The bin of a latency: each is 5 % wider than the one before, so that a quantile is off by 2.5 % at most."""
    return math.ceil(math.log(max(value, 1e-3)) / _WIDTH)


def middle_of(number: int) -> float:
    """The geometric middle of a bin."""
    return math.exp((number - 0.5) * _WIDTH)


class Collector:
    """One per process. Its methods but `flush` and `run` never wait."""

    def __init__(self, store: BatchStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._open = Batch()
        self._sealed: Batch | None = None
        self._flushing = asyncio.Lock()
        self._away = False

    def expose(self, exposure: Exposure) -> None:
        """Somebody was given a variant; of several in a batch the first counts."""
        if len(self._open.exposures) < _MOST_EXPOSURES:
            self._open.exposures.setdefault((exposure.experiment_id, exposure.subject), exposure)

    def add(self, experiment_id: UUID, variant: str, metric: str, bucket: int, value: float) -> None:
        """One value of a metric."""
        key = (experiment_id, variant, metric, bucket)
        tally = self._open.tallies.get(key)
        if tally is None:
            tally = self._open.tallies[key] = Tally()
        tally.add(value)
        if metric in LATENCIES:
            key = (experiment_id, variant, metric, bin_of(value))
            self._open.bins[key] = self._open.bins.get(key, 0) + 1

    async def flush(self) -> None:
        """Write what there is now. Raises what the store raises; nothing is lost then."""
        async with self._flushing:
            if self._sealed is not None:
                await self._write(self._sealed)
            if self._open:
                self._sealed, self._open = self._open, Batch()
                await self._write(self._sealed)

    async def _write(self, batch: Batch) -> None:
        await self._store.write(batch)
        self._sealed = None

    async def run(self) -> None:
        """Flush every second until cancelled, and once more then."""
        try:
            while True:
                await self._clock.sleep(EVERY_S)
                await self._try()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._try()

    async def _try(self) -> None:
        try:
            await self.flush()
            self._away = False
        except VoiceHelperError as error:
            if not self._away:
                log.warning("experiments.not_written", error=error.message)
            self._away = isinstance(error, Unavailable)
