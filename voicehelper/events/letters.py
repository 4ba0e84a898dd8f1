"""Dead letters: events that a group could not handle after all its attempts.

People look at them, mend what was wrong, and have them replayed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from voicehelper.events.channel import REPLAY, Delivery
from voicehelper.ports.events import Event

LetterState = Literal["dead", "replaying", "replayed"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event and what became of it.

    Attributes:
        consumer: the group that failed.
        attempts: how often it tried, last time.
        error: of the last attempt: the error's class and place or our own message, never data of users.
        state: `replaying` from the request for a replay until the group has handled or buried it again.
    """

    id: UUID
    consumer: str
    event: Event
    attempts: int
    error: str
    failed_at: datetime
    state: LetterState
    replayed_at: datetime | None = None


class DeadLetters(Protocol):
    """Dead letters, as consumers see them. Every method raises `Unavailable`."""

    async def bury(self, consumer: str, event: Event, attempts: int, error: str) -> None:
        """Keep `event` (again, if it was replayed in vain)."""
        ...

    async def requested(self, consumer: str, limit: int) -> Sequence[Delivery]:
        """Letters of this group that are to be replayed, oldest first, as deliveries of partition `REPLAY`."""
        ...

    async def replayed(self, letter_id: UUID) -> None:
        """The group has handled it after all."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when a replay may have been asked for, at the latest after `timeout` seconds."""
        ...


class DeadLetterArchive(Protocol):
    """Dead letters, as people see them: those of their tenant. Every method raises `Unavailable`."""

    async def find(
        self,
        tenant_id: UUID,
        consumer: str | None = None,
        state: LetterState | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> list[DeadLetter]:
        """Newest first, those older than the letter `before`."""
        ...

    async def replay(self, tenant_id: UUID, letter_id: UUID) -> DeadLetter:
        """Have its group, and no other, get the event again.

        Raises:
            NotFound: no such letter in this tenant.
            Conflict: the group has handled it since.
        """
        ...


class FakeDeadLetters:
    """`DeadLetters` in a list."""

    def __init__(self) -> None:
        self.buried: list[tuple[str, Event, int, str]] = []
        self.requests: list[Delivery] = []
        self.done: list[UUID] = []
        self._asked = asyncio.Event()

    async def bury(self, consumer: str, event: Event, attempts: int, error: str) -> None:
        """Remember it."""
        self.buried.append((consumer, event, attempts, error))
        self.requests = [delivery for delivery in self.requests if delivery.event.id != event.id]

    def ask(self, letter_id: UUID, event: Event) -> None:
        """Have `event` replayed."""
        self.requests.append(Delivery(event, REPLAY, str(letter_id), letter_id=letter_id))
        self._asked.set()

    async def requested(self, consumer: str, limit: int) -> Sequence[Delivery]:
        """What was asked for and is not done."""
        return self.requests[:limit]

    async def replayed(self, letter_id: UUID) -> None:
        """Remember it."""
        self.done.append(letter_id)
        self.requests = [delivery for delivery in self.requests if delivery.letter_id != letter_id]

    async def wait(self, timeout: float) -> None:
        """Until `ask`, or a moment."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), 0.01)
        self._asked.clear()
