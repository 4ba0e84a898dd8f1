"""Many sessions, one model: requests wait in a fair queue and go through the model in batches."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from actors.stt.fair_queue import FairQueue, Place
from actors.stt.recognizer import Recognizer
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable
from voicehelper.ports.speech import INPUT_RATE, Recognition, SpeechToTextInfo, Transcript
from voicehelper.telemetry import get_logger, stage
from voicehelper.telemetry.metrics import QUEUE_LENGTH

_SAMPLE_BYTES = 2
_log = get_logger(__name__)


class BatchedSpeechToText:
    """Implements `SpeechToText` over a blocking recogniser in a thread of its own: the event loop only waits.

    Args:
        recognizer: the loaded model.
        max_batch: most utterances in one call of the model.
        queue: utterances waiting before `Overloaded`.
        now: seconds, monotonic.
    """

    def __init__(
        self, recognizer: Recognizer, max_batch: int = 8, queue: int = 64, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._recognizer = recognizer
        self._max_batch = max_batch
        self._now = now
        self._queue = FairQueue(queue)
        self._requests: dict[Place, tuple[Recognition, asyncio.Future[Transcript]]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stt")
        self._worker: asyncio.Task[None] | None = None
        self._gauge = QUEUE_LENGTH.labels("stt")

    async def describe(self) -> SpeechToTextInfo:
        """The model."""
        return self._recognizer.info

    async def transcribe(self, request: Recognition) -> Transcript:
        """See `SpeechToText`."""
        self._check(request)
        place, pointless = self._queue.add(request.stream, request.final, self._recognizer.window(request), self._now())
        for other in pointless:
            self._settle(other, Transcript("", superseded=True))
        future: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._requests[place] = (request, future)
        self._gauge.set(len(self._queue))
        self._wake()
        try:
            async with asyncio.timeout(current_context().remaining()):
                return await future
        except TimeoutError as error:
            raise DeadlineExceeded("Out of time while waiting for the recogniser") from error
        finally:
            self._queue.remove(place)
            self._requests.pop(place, None)
            self._gauge.set(len(self._queue))

    async def close(self) -> None:
        """Stop after the call under way."""
        if self._worker is not None:
            self._worker.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _check(self, request: Recognition) -> None:
        seconds = len(request.audio) / _SAMPLE_BYTES / INPUT_RATE
        if len(request.audio) % _SAMPLE_BYTES:
            raise InvalidInput("The audio ends within a sample")
        if seconds > self._recognizer.info.longest_s:
            raise InvalidInput("The utterance is too long", {"longest_s": self._recognizer.info.longest_s})

    def _wake(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="stt")

    async def _work(self) -> None:
        """Batch after batch until nothing waits. Requests that come while the model is busy make the next batch."""
        loop = asyncio.get_running_loop()
        while batch := self._queue.take(self._max_batch, self._now()):
            requests = [self._requests[place][0] for place in batch]
            try:
                with stage("stt.batch"):
                    results = await loop.run_in_executor(self._thread, self._recognizer.recognize, requests)
            except RuntimeError as error:  # what the engine raises
                _log.warning("stt.failed", error=str(error), batch=len(batch))
                for place in batch:
                    self._fail(place, ModelUnavailable("The speech recogniser failed"))
                continue
            for place, result in zip(batch, results, strict=True):
                self._settle(place, result)

    def _settle(self, place: Place, result: Transcript) -> None:
        if (waiting := self._requests.pop(place, None)) and not waiting[1].done():
            waiting[1].set_result(result)

    def _fail(self, place: Place, error: ModelUnavailable) -> None:
        if (waiting := self._requests.pop(place, None)) and not waiting[1].done():
            waiting[1].set_exception(error)
