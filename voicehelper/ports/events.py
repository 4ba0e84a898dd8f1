"""Publishing what happened to whoever listens."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """A fact, past tense (`document.uploaded`); `voicehelper.events.catalogue` describes every type and version.

    Attributes:
        key: events of one key reach a consumer in order (`tenant:user` for conversations, `tenant` otherwise).
        occurred_at: Unix time in seconds.
    """

    id: UUID
    type: str
    tenant_id: UUID
    payload: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    key: str = ""
    occurred_at: float = 0.0


Handler = Callable[[Event], Awaitable[None]]
"""Handles one event, once more or less (idempotent on `Event.id`, see `events.letters.ProcessedEvents`). What it raises
decides what follows: a retryable error of ours means that an engine is away, any other that the event is at fault."""


class EventBus(Protocol):
    """At-least-once delivery, in order for each key."""

    async def publish(self, events: Sequence[Event], mark: int = 0) -> None:
        """Deliver these in order, and remember `mark` (see `marked`) with the last of them.

        Raises `Unavailable` when the bus is down; some may be delivered nevertheless, all are to be published again.
        """
        ...

    async def marked(self) -> int | None:
        """The greatest `mark` whose events the bus still knows: lower than the last one given if it has forgotten some
        since (a restart without its newest data), 0 if all. None: this bus does not forget."""
        ...

    async def tidy(self) -> None:
        """Drop what every consumer has handled."""
        ...


class EventSource(Protocol):
    """Where groups of consumers read."""

    async def consume(self, group: str, handler: Handler, types: Collection[str] = ()) -> None:
        """Hand every event (of `types`, if any are named) to `handler` until cancelled; survives every outage.

        All processes that consume as `group` share the events: each goes to one of them, those of one key one after
        the other. A new group begins with the oldest event the bus still holds. A handler that fails is called again,
        later and later; the event of the last failure becomes a dead letter of the group.
        """
        ...


class NullEventBus:
    """Forgets events."""

    async def publish(self, events: Sequence[Event], mark: int = 0) -> None:
        """Nothing."""

    async def marked(self) -> int | None:
        """It was never told anything worth remembering."""
        return None

    async def tidy(self) -> None:
        """Nothing."""


class FakeEventBus:
    """Keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.mark: int | None = None

    async def publish(self, events: Sequence[Event], mark: int = 0) -> None:
        """Remember `events`."""
        self.events.extend(events)
        self.mark = mark

    async def marked(self) -> int | None:
        """The last mark."""
        return self.mark

    async def tidy(self) -> None:
        """Nothing: tests look at all of it."""


class FakeEventSource:
    """Hands over, at once and to every group, what a test gives it."""

    def __init__(self) -> None:
        self.handlers: dict[str, tuple[Handler, frozenset[str]]] = {}

    async def consume(self, group: str, handler: Handler, types: Collection[str] = ()) -> None:
        """Remember the handler and return."""
        self.handlers[group] = (handler, frozenset(types))

    async def deliver(self, event: Event) -> None:
        """Give `event` to every group that wants it. Raises what the handler raises."""
        for handler, types in self.handlers.values():
            if not types or event.type in types:
                await handler(event)
