"""Who synthesises next: first pieces of utterances go before the rest of others, so that a long text read out does not
keep a caller waiting for his first word."""

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, Overloaded
from voicehelper.telemetry.metrics import QUEUE_LENGTH

_RETRY_AFTER_S = 1.0


class Line:
    """`parallel` pieces at work, at most `queue` more utterances in the house."""

    def __init__(self, name: str, parallel: int, queue: int) -> None:
        self._free = parallel
        self._room = parallel + queue
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._gauge = QUEUE_LENGTH.labels(name)

    @contextmanager
    def utterance(self) -> Iterator[None]:
        """Held from an utterance's first piece to its last. Raises `Overloaded`."""
        if not self._room:
            raise Overloaded("Too many are speaking", retry_after=_RETRY_AFTER_S)
        self._room -= 1
        try:
            yield
        finally:
            self._room += 1

    async def acquire(self, piece: int) -> None:
        """Wait for a turn with piece number `piece` of an utterance. Raises `DeadlineExceeded`."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (min(piece, 1), next(self._numbers), turn))
        self._gauge.inc()
        try:
            async with asyncio.timeout(current_context().remaining()):
                await turn
        except BaseException as error:  # whoever leaves hands on a turn that was already his
            if turn.done() and not turn.cancelled():
                self.release()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("Out of time while waiting for the voice") from error
            raise
        finally:
            self._gauge.dec()

    def release(self) -> None:
        """The turn is over; the next one begins."""
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
