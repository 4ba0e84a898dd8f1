"""Publishing what happened to whoever listens."""

from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    """A fact, past tense (`document.uploaded`); `voicehelper.events` describes every type and version.

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


class EventBus(Protocol):
    """At-least-once delivery; consumers are idempotent on `Event.id`."""

    async def publish(self, event: Event) -> None:
        """Raises `Unavailable` when the bus is down; the outbox then keeps the event for later."""
        ...


class NullEventBus:
    """Forgets events."""

    async def publish(self, event: Event) -> None:
        """Nothing."""


class FakeEventBus:
    """Keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        """Remember `event`."""
        self.events.append(event)
