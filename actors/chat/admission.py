"""Admission: so many requests at work, so many waiting, the rest refused at once."""

import asyncio
import math

from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, Overloaded
from voicehelper.telemetry.metrics import QUEUE_LENGTH

_FIRST_GUESS_S = 5.0
_SMOOTHING = 0.2


class Admission:
    """Permits for `parallel` requests with a bounded, first-come queue before them.

    The permit's holder calls `release` itself, when the engine (not the caller) is done with the request.
    """

    def __init__(self, name: str, parallel: int, queue: int) -> None:
        self.parallel = parallel
        self.queue = queue
        self.waiting = 0
        self.running = 0
        self._free = asyncio.Semaphore(parallel)
        self._mean_s = _FIRST_GUESS_S
        self._gauge = QUEUE_LENGTH.labels(name)

    @property
    def free(self) -> bool:
        """Whether a permit can be had without waiting."""
        return not self._free.locked()

    async def acquire(self) -> None:
        """Wait for a permit.

        Raises `Overloaded` at once when the queue is full, with an estimate of when it will not be, and
        `DeadlineExceeded` when the request's time ran out in the queue: nobody waits for its answer any more.
        """
        if self._free.locked() and self.waiting >= self.queue:
            raise Overloaded("The model's queue is full", {"queue": "full"}, self.estimate_s())
        self.waiting += 1
        self._gauge.inc()
        try:
            async with asyncio.timeout(current_context().remaining()):
                await self._free.acquire()
        except TimeoutError as error:
            raise DeadlineExceeded("Out of time while waiting for the model") from error
        finally:
            self.waiting -= 1
            self._gauge.dec()
        self.running += 1

    def release(self, seconds: float) -> None:
        """Give the permit back; `seconds` is how long the request held it."""
        self.running -= 1
        self._mean_s += _SMOOTHING * (seconds - self._mean_s)
        self._free.release()

    def estimate_s(self) -> float:
        """Whole seconds until the queue has room, from the mean of recent requests; at least 1."""
        return float(max(1, math.ceil(self._mean_s / self.parallel)))
