"""Asking a second model when the first one's first piece is late; whichever speaks first goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from voicehelper.errors import VoiceHelperError
from voicehelper.models.attempts import Attempt, Events
from voicehelper.ports.chat import ChatEvent, ChatProgress
from voicehelper.telemetry import get_logger

log = get_logger(__name__)


@dataclass(eq=False)
class Runner:
    """A call whose first piece a task of its own waits for; `first` is None when the stream ended without one."""

    attempt: Attempt
    events: Events
    task: "asyncio.Task[ChatEvent | None]" = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._first())

    async def _first(self) -> ChatEvent | None:
        async for event in self.events:
            if not isinstance(event, ChatProgress):
                return event
            self.attempt.take(event)
        return None

    async def stop(self) -> None:
        """No longer wait; the stream can be closed, or read on, after this."""
        self.task.cancel()
        await asyncio.wait((self.task,))


async def first_of(
    lead: Runner,
    after_s: float,
    challenge: Callable[[], Awaitable[Runner | None]],
    failed: Callable[[Attempt, VoiceHelperError], None],
) -> Runner:
    """The runner that spoke first, or the last one left, whatever became of it: its task is done.

    Args:
        after_s: how long the lead may keep silent before it is challenged.
        challenge: starts another call; None when there is none to be had.
        failed: notes the failure of one of two; raises when nobody else is to be asked either.

    The loser is closed, and so settled. Whoever calls this owns the lead's attempt and the returned one.
    """
    running = [lead]
    try:
        await asyncio.wait((lead.task,), timeout=after_s)
        if not lead.task.done() and (second := await challenge()) is not None:
            running.append(second)
        while len(running) > 1:
            await asyncio.wait([runner.task for runner in running], return_when=asyncio.FIRST_COMPLETED)
            ready = next(runner for runner in running if runner.task.done())
            error = ready.task.exception()
            if error is None:
                return await _won(ready, running)
            running.remove(ready)
            if isinstance(error, VoiceHelperError):
                failed(ready.attempt, error)
            else:
                log.error("model.crashed", exc_info=error)
                ready.attempt.crashed()
            await ready.attempt.close()
        await asyncio.wait((running[0].task,))
        return running[0]
    except BaseException:
        for runner in running:
            await runner.stop()
            await runner.attempt.close()
        raise


async def _won(winner: Runner, running: list[Runner]) -> Runner:
    for runner in [runner for runner in running if runner is not winner]:
        await runner.stop()
        await runner.attempt.close()
        running.remove(runner)
    return winner
