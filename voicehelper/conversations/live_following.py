"""Follows an answer wherever it is written: by a run of this process, by another's events in the log, or finished."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import orjson

from voicehelper.conversations.live import BEAT_S, START, LiveEvent, LiveLog, Mark, Signal, Thread, Watch
from voicehelper.conversations.live_views import replay
from voicehelper.conversations.model import Owner
from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.turns import LEFT, StoredTurn, Turn, TurnRepository
from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_PATIENCE_S = 30.0
"""How long a reader who already has events waits for the database."""

Retake = Callable[[StoredTurn], Awaitable[bool]]


class Follower:
    """Gives the events of answers to readers.

    Args:
        turns: finished answers.
        runs: answers in work in this process.
        log: events of answers in work elsewhere.
    """

    def __init__(self, turns: TurnRepository, runs: Mapping[UUID, AnswerRun], log: LiveLog) -> None:
        self._turns = turns
        self._runs = runs
        self._log = log

    def local(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> AnswerRun | None:
        """The run of this process that writes the answer, if there is one and it is the owner's."""
        run = self._runs.get(message_id)
        if run is None or run.over or run.turn.owner != owner:
            return None
        return run if run.turn.answer.conversation_id == conversation_id else None

    async def follow(
        self,
        owner: Owner,
        conversation_id: UUID,
        message_id: UUID,
        seen: Mark = START,
        retake: Retake | None = None,
    ) -> AsyncGenerator[LiveEvent, None]:
        """Events of an answer after `seen`, each once, up to its last.

        Args:
            owner: whose.
            conversation_id: where.
            message_id: the answer.
            seen: the last event the reader has; one of an earlier attempt means that all of the present one follow.
            retake: asked whether an answer that came to nothing is written anew; without it, its failure is its end.

        Raises:
            NotFound: no such answer.
            Unavailable: it is written elsewhere and the log is away (only before the first event, and not with
                `retake`); or the database is.
        """
        place = (owner, conversation_id, message_id)
        first = True
        while True:
            run = self.local(*place)
            if run is not None:
                source = self._here(run, seen)
            else:
                stored = await self._stored(*place, patient=not first)
                if retake is not None and stored.retakable and await retake(stored):
                    continue
                if stored.ended:
                    for event in rest_of(stored, seen):
                        yield event
                    return
                source = self._there(stored, seen, first and not retake)
            async with aclosing(source) as events:
                async for event in events:
                    if retake is not None and _was_left(event):
                        break  # somebody is here after all
                    first = False
                    yield event
                    seen = event.mark
                    if event.last:
                        return

    async def _here(self, run: AnswerRun, seen: Mark) -> AsyncGenerator[LiveEvent, None]:
        with run.read():
            async for event in run.after(seen):
                yield event

    async def _stored(self, owner: Owner, conversation_id: UUID, message_id: UUID, patient: bool) -> StoredTurn:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self._turns.stored(owner, conversation_id, message_id)
            except Unavailable:
                if not patient or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(0.5)

    async def _there(self, stored: StoredTurn, seen: Mark, strict: bool) -> AsyncGenerator[LiveEvent, None]:
        """Events from the log until it falls silent; the caller then looks at the row again."""
        turn = stored.turn
        thread = Thread(turn.owner.tenant_id, turn.answer.conversation_id)
        try:
            async with self._log.watch(thread) as watch, self._counted(turn.owner.tenant_id, turn.answer.id):
                for event in await self._log.read(thread, turn.answer.id):
                    if event.follows(seen):
                        yield event
                        seen = event.mark
                async for event in self._watched(watch, turn, seen):
                    yield event
        except Unavailable:
            if strict:
                raise
            await asyncio.sleep(BEAT_S / 2)

    async def _watched(self, watch: Watch, turn: Turn, seen: Mark) -> AsyncIterator[LiveEvent]:
        """Events as they come; ends when the row has to say what comes next, or some are missing."""
        while True:
            event = await watch.next(BEAT_S)
            if event is None:
                if await self._settled(turn):
                    return
                continue
            if event.message_id != turn.answer.id or event.mark <= seen:
                continue
            if not event.follows(seen):
                self._log.tell(Signal("resend", turn.owner.tenant_id, turn.answer.id))
                await asyncio.sleep(BEAT_S / 4)
                return
            yield event
            seen = event.mark

    async def _settled(self, turn: Turn) -> bool:
        """Whether a silent answer has ended, or lost its writer, or got another one."""
        try:
            stored = await self._turns.stored(turn.owner, turn.answer.conversation_id, turn.answer.id)
        except Unavailable:
            return False
        return stored.ended or stored.lapsed or stored.turn.attempt != turn.attempt

    @asynccontextmanager
    async def _counted(self, tenant_id: UUID, message_id: UUID) -> AsyncIterator[None]:
        """Count as a reader with the replica that writes."""
        reader = str(new_id())

        async def beat() -> None:
            while True:
                self._log.tell(Signal("attach", tenant_id, message_id, reader))
                await asyncio.sleep(BEAT_S)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            self._log.tell(Signal("detach", tenant_id, message_id, reader))


def _was_left(event: LiveEvent) -> bool:
    """Whether it is the end of an answer that nobody read."""
    if event.name != "message.stopped":
        return False
    message = orjson.loads(event.data)["message"]
    return bool(message["metadata"].get("reason") == LEFT)


def rest_of(stored: StoredTurn, seen: Mark) -> list[LiveEvent]:
    """What a reader of an ended answer still has to get. An answer that was lost with its writer may end before what
    the reader has seen of it: then only its end is left, numbered after that."""
    events = replay(stored)
    left = [event for event in events if event.mark > seen]
    if left or seen.attempt > stored.turn.attempt:
        return left
    if stored.failure is None and stored.turn.answer.status == "failed" and seen.number >= len(events):
        last = events[-1]
        return [LiveEvent(last.message_id, Mark(seen.attempt, seen.number + 1), last.name, last.data)]
    return left
