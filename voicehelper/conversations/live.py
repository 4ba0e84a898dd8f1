"""The numbered events of an answer, and the log in which other replicas find them while it is written."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, Self
from uuid import UUID

from voicehelper.errors import InvalidInput

_MARK = re.compile(r"(?:([0-9]{1,9})\.)?([0-9]{1,9})")

ENDS = frozenset({"message.completed", "message.stopped", "error"})
"""Names of the events that end an answer."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place among an answer's events: which attempt at writing it, and the number of the last event seen."""

    attempt: int = 1
    number: int = 0

    def __str__(self) -> str:
        return str(self.number) if self.attempt == 1 else f"{self.attempt}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The mark behind an event's id. Raises `InvalidInput` when it is not one of ours."""
        found = _MARK.fullmatch(text)
        if found is None:
            raise InvalidInput("Not an event id of ours")
        return cls(int(found[1] or 1), int(found[2]))


START = Mark(0, 0)
"""Before any event."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event of an answer, ready to be sent: its name and its data as JSON."""

    message_id: UUID
    mark: Mark
    name: str
    data: str

    @property
    def last(self) -> bool:
        """Whether the answer ends with it."""
        return self.name in ENDS

    def follows(self, seen: Mark) -> bool:
        """Whether it is the next one after `seen`, or the first of a later attempt."""
        if self.mark.attempt == seen.attempt:
            return self.mark.number == seen.number + 1
        return self.mark.attempt > seen.attempt and self.mark.number == 1


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation, by which logs are kept."""

    tenant_id: UUID
    conversation_id: UUID


Act = Literal["attach", "detach", "stop", "resend"]


@dataclass(frozen=True, slots=True)
class Signal:
    """What a replica asks of the one that writes `message_id`: count `reader` in (again within `BEAT_S`) or out, stop
    the answer, put all its events into the log once more."""

    act: Act
    tenant_id: UUID
    message_id: UUID
    reader: str = ""


BEAT_S = 1.0
"""How often a reader on another replica says that he is still there; three times that long he counts."""


class Watch(Protocol):
    """Events of one conversation as they come."""

    async def next(self, timeout: float) -> LiveEvent | None:
        """The next event; None when none came within `timeout` seconds.

        Raises `Unavailable` once when events may have been missed: the log was away, or this reader was too slow.
        """
        ...


class LiveLog(Protocol):
    """Events of running answers for all replicas. Not the truth: that is the finished answer's row."""

    def append(self, thread: Thread, event: LiveEvent) -> None:
        """Put `event` into the log soon. Never waits, never fails; watches of this process get it at once."""
        ...

    async def read(self, thread: Thread, message_id: UUID) -> list[LiveEvent]:
        """All events of an answer in the log, each once, in order. Raises `Unavailable`."""
        ...

    def watch(self, thread: Thread) -> AbstractAsyncContextManager[Watch]:
        """Events from now on."""
        ...

    def tell(self, signal: Signal) -> None:
        """Send `signal` to all replicas soon. Never waits, never fails; may be lost."""
        ...

    def listen(self, heed: Callable[[Signal], None]) -> None:
        """Call `heed` for each signal of other replicas."""
        ...

    async def start(self) -> None:
        """Begin to write and read in the background."""
        ...

    async def stop(self) -> None:
        """Write what waits, if possible, and end the background work."""
        ...
