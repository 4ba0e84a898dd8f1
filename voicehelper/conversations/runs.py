"""An answer being written: its events so far, and who reads them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal
from uuid import UUID

from voicehelper.conversations.draft import Draft
from voicehelper.conversations.live import BEAT_S, LiveEvent, Mark
from voicehelper.conversations.live_views import Frame, created_frame, frames_of
from voicehelper.conversations.turns import Renewal, Turn
from voicehelper.rag.events import AnswerEvent

Reason = Literal["left", "asked", "shutdown", "superseded"]
"""Why an answer is ended before its end: nobody reads it; somebody said so; this process ends; another process writes
it now."""

_REMOTE_S = 3 * BEAT_S


class AnswerRun:
    """State of one answer in work in this process. The writer (`runs_writing`) puts events in, followers read them.

    A run that nobody has read for `grace_s` seconds is cancelled, unless it is to keep running.

    Args:
        turn: question and answer as stored.
        run_id: the lease's.
        publish: takes each event for the readers elsewhere; must not wait.
    """

    def __init__(
        self, turn: Turn, run_id: UUID, publish: Callable[[LiveEvent], None], *, keep_running: bool, grace_s: float
    ) -> None:
        self.turn = turn
        self.run_id = run_id
        self.draft = Draft(turn.answer.id)
        self.events: list[LiveEvent] = []
        self.over = False
        self.reason: Reason | None = None
        self.silent_at = 0.0
        self._publish = publish
        self._keep_running = keep_running
        self._grace_s = grace_s
        self._news = asyncio.Event()
        self._readers = 0
        self._remote: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._model: asyncio.Task[Any] | None = None
        self._done = asyncio.Event()

    @property
    def id(self) -> UUID:
        """The answer's."""
        return self.turn.answer.id

    # -- the writer's side

    def begin(self, model: "asyncio.Task[Any]", saga_s: float) -> None:
        """`model` writes from now on; it is what `cancel` ends."""
        self._model = model
        self.progress(saga_s)
        self._add([created_frame(self.turn)])
        self._reconsider()
        if self.reason is not None:
            model.cancel()

    def progress(self, saga_s: float) -> None:
        """Something came; the next must come within `saga_s` seconds."""
        self.silent_at = asyncio.get_running_loop().time() + saga_s

    def take(self, event: AnswerEvent) -> None:
        """An event of the answerer."""
        for shown in self.draft.take(event):
            self._add(frames_of(shown))

    def end(self, frame: Frame | None) -> None:
        """The last event; None when the answer is another process's by now."""
        if frame is not None:
            self._add([frame])
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        self._done.set()

    def renewal(self) -> Renewal:
        """What the lease is renewed with."""
        left = self.silent_at - asyncio.get_running_loop().time()
        return Renewal(self.id, self.run_id, self.draft.text, tuple(self.draft.trail), max(left, 1.0))

    def _add(self, frames: Iterator[Frame] | list[Frame]) -> None:
        for name, data in frames:
            event = LiveEvent(self.id, Mark(self.turn.attempt, len(self.events) + 1), name, data)
            self.events.append(event)
            self._publish(event)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # -- the readers' side

    async def after(self, seen: Mark) -> AsyncIterator[LiveEvent]:
        """Events after `seen`, all of them for a mark of another attempt; ends with the run."""
        place = seen.number if seen.attempt == self.turn.attempt else 0
        while True:
            while place < len(self.events):
                yield self.events[place]
                place += 1
            if self.over:
                return
            await self._news.wait()

    @contextmanager
    def read(self) -> Iterator[None]:
        """Count as a reader within the block."""
        self._readers += 1
        self._reconsider()
        try:
            yield
        finally:
            self._readers -= 1
            self._reconsider()

    def attach(self, reader: str) -> None:
        """A reader on another replica is there, for a few seconds at least."""
        self._remote[reader] = asyncio.get_running_loop().time() + _REMOTE_S
        self._reconsider()

    def detach(self, reader: str) -> None:
        """He left."""
        if self._remote.pop(reader, None) is not None:
            self._reconsider()

    def cancel(self, reason: Reason) -> None:
        """End the answer now; what there is of it is kept."""
        if self.reason is None and not self.over:
            self.reason = reason
            if self._model is not None:
                self._model.cancel()

    async def wait(self, timeout: float) -> None:
        """Wait until the end is stored, at most `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._done.wait()

    def _reconsider(self) -> None:
        """Somebody came or went: set or drop the time at which the run ends for want of readers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._readers or self._keep_running or self.over:
            return
        loop = asyncio.get_running_loop()
        lasting = max(self._remote.values(), default=0.0) - loop.time()
        self._timer = loop.call_later(max(self._grace_s, lasting), self._vanish)

    def _vanish(self) -> None:
        self._timer = None
        self.cancel("left")
