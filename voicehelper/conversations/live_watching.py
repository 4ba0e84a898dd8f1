"""Watches a conversation: the events of all its answers as they come, for any number of devices."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from voicehelper.conversations.live import START, LiveEvent, LiveLog, Mark, Signal, Thread, Watch
from voicehelper.conversations.live_following import rest_of
from voicehelper.conversations.model import Owner
from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.turns import StoredTurn, TurnRepository
from voicehelper.errors import NotFound, Unavailable
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_PAGE = 50
_LOOK_S = 5.0
"""How long an unfinished answer may be silent before its row is looked at; the conversation six times as long."""


@dataclass
class _Seen:
    """How far a device is: answers before `seq` are done with."""

    seq: int = 0
    marks: dict[UUID, Mark] = field(default_factory=dict)
    unfinished: set[UUID] = field(default_factory=set)

    def of(self, message_id: UUID) -> Mark:
        return self.marks.get(message_id, START)

    def note(self, event: LiveEvent) -> None:
        self.marks[event.message_id] = event.mark
        (self.unfinished.discard if event.last else self.unfinished.add)(event.message_id)


class Watcher:
    """Gives the events of a conversation to devices. What the log cannot give comes from the rows.

    Args:
        turns: finished answers.
        runs: answers in work in this process.
        log: events of all answers in work.
    """

    def __init__(self, turns: TurnRepository, runs: Mapping[UUID, AnswerRun], log: LiveLog) -> None:
        self._turns = turns
        self._runs = runs
        self._log = log

    @asynccontextmanager
    async def watch(
        self, owner: Owner, conversation_id: UUID, message_id: UUID | None = None, seen: Mark = START
    ) -> AsyncIterator[AsyncGenerator[LiveEvent, None]]:
        """Within the block: events, each once and each answer's in order, without end.

        Begins after event `seen` of the answer `message_id`, or, where that was withdrawn, with the last answer;
        without one, with the answer being written as the block is entered, or the next.

        Raises:
            NotFound: no such conversation, from the start or since it was deleted.
            Unavailable: the database is away at the start.
        """
        place = _Seen()
        async with self._log.watch(Thread(owner.tenant_id, conversation_id)) as watch:
            await self._begin(owner, conversation_id, place, message_id, seen)
            async with aclosing(self._events(watch, owner, conversation_id, place)) as events:
                yield events

    async def _events(
        self, watch: Watch, owner: Owner, conversation_id: UUID, place: _Seen
    ) -> AsyncGenerator[LiveEvent, None]:
        while True:
            full = True
            while full:
                missing, full = await self._missing(owner, conversation_id, place)
                for event in missing:
                    place.note(event)
                    yield event
            async for event in self._coming(watch, place):
                place.note(event)
                yield event
            # Something is missing, or nothing came for long: the rows know.

    async def _begin(
        self, owner: Owner, conversation_id: UUID, place: _Seen, message_id: UUID | None, seen: Mark
    ) -> None:
        if message_id is not None:
            try:
                stored = await self._turns.stored(owner, conversation_id, message_id)
            except NotFound:  # a question withdrawn meanwhile: the one that took its place was asked next
                for stored in await self._turns.stored_from(owner, conversation_id, 0, 1):
                    place.seq = stored.turn.answer.seq
                return
            place.marks[message_id] = seen
            place.seq = stored.turn.answer.seq
            return
        for stored in await self._turns.stored_from(owner, conversation_id, 0, 1):
            place.seq = stored.turn.answer.seq
            if stored.ended:
                place.marks[stored.turn.answer.id] = rest_of(stored, START)[-1].mark

    async def _coming(self, watch: Watch, place: _Seen) -> AsyncGenerator[LiveEvent, None]:
        """Events while each follows the one before."""
        while True:
            try:
                event = await watch.next(_LOOK_S if place.unfinished else 6 * _LOOK_S)
            except Unavailable:
                await asyncio.sleep(0.5)
                return
            if event is None:
                return
            before = place.of(event.message_id)
            if event.mark <= before:
                continue
            if not event.follows(before):
                return
            yield event

    async def _missing(self, owner: Owner, conversation_id: UUID, place: _Seen) -> tuple[list[LiveEvent], bool]:
        """What the device has not got yet, as far as rows and log know it; and whether there may be more."""
        while True:
            try:
                found = await self._turns.stored_from(owner, conversation_id, place.seq, _PAGE)
                break
            except Unavailable as error:  # the line stays open; the database will be back
                log.warning("watch.waits", reason=error.message)
                await asyncio.sleep(1.0)
        events: list[LiveEvent] = []
        for stored in found:
            place.seq = stored.turn.answer.seq
            events += await self._of(stored, place.of(stored.turn.answer.id))
        return events, len(found) == _PAGE

    async def _of(self, stored: StoredTurn, seen: Mark) -> list[LiveEvent]:
        turn = stored.turn
        if stored.ended:
            return rest_of(stored, seen)
        run = self._runs.get(turn.answer.id)
        if run is not None:
            return [event for event in run.events if event.mark > seen]
        try:
            logged = await self._log.read(Thread(turn.owner.tenant_id, turn.answer.conversation_id), turn.answer.id)
        except Unavailable:
            return []
        left = [event for event in logged if event.mark > seen]
        if left and not left[0].follows(seen):
            self._log.tell(Signal("resend", turn.owner.tenant_id, turn.answer.id))
            return []
        return left
