"""What recognisers at the other end of the internet have in common: they are asked for whole utterances, so many at a
time, within the request's deadline."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, Overloaded
from voicehelper.ports.speech import INPUT_RATE, Recognition

PARALLEL = 16


class RemoteCalls:
    """Requests in flight, and those that wait for one of them to end.

    Args:
        longest_s: longer utterances are refused.
        queue: requests waiting before `Overloaded`.
    """

    def __init__(self, longest_s: float, queue: int) -> None:
        self._longest_s = longest_s
        self._queue = queue
        self._waiting = 0
        self._free = asyncio.Semaphore(PARALLEL)

    @asynccontextmanager
    async def place(self, request: Recognition) -> AsyncIterator[None]:
        """Hold one. Raises `InvalidInput`, `Overloaded`, `DeadlineExceeded`."""
        if len(request.audio) / 2 / INPUT_RATE > self._longest_s:
            raise InvalidInput("The utterance is too long", {"longest_s": self._longest_s})
        if self._free.locked() and self._waiting >= self._queue:
            raise Overloaded("Too many utterances wait to be written down", retry_after=1.0)
        limit = asyncio.timeout(current_context().remaining())
        try:
            async with limit:
                await self._acquire()
                try:
                    yield
                finally:
                    self._free.release()
        except TimeoutError as error:
            if limit.expired():
                raise DeadlineExceeded("Out of time while waiting for the recogniser") from error
            raise

    async def _acquire(self) -> None:
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1


def wav_of(pcm: bytes) -> bytes:
    """A wav file of PCM at `INPUT_RATE`."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(INPUT_RATE)
        file.writeframes(pcm)
    return buffer.getvalue()
