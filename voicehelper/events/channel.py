"""What a driver (Redis Streams, Kafka) gives a consumer: the deliveries of the partitions that are its own for now."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.ports.events import Event

REPLAY = -1
"""The partition of events that come from the dead letters."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a group.

    Attributes:
        partition, place: where it lies; together they name the delivery within its channel.
        attempts: times that somebody has begun to handle it.
        again: it was delivered before, to somebody who may have begun to handle it and did not tell.
        letter_id: of the dead letter that is replayed.
    """

    event: Event
    partition: int
    place: str
    attempts: int = 0
    again: bool = False
    letter_id: UUID | None = None


class Channel(Protocol):
    """One consumer's share of a group. Each partition belongs to one consumer of the group at a time, all events of one
    key lie in one partition. Methods that talk to the bus raise `Unavailable`."""

    async def fetch(self, limit: int, full: Collection[int], wait_s: float) -> list[Delivery]:
        """New deliveries, about `limit` a partition, none of the partitions in `full`; waits up to `wait_s` seconds for
        the first. To be called every second or so: it also keeps up, gains and gives up partitions."""
        ...

    def owns(self, delivery: Delivery) -> bool:
        """Whether its partition (for a replay: the partition of its key) is still this consumer's."""
        ...

    async def begin(self, delivery: Delivery, attempt: int) -> None:
        """Make it known, beyond this process's death, that attempt `attempt` is about to begin."""
        ...

    async def finish(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with: deliver them no more."""
        ...

    def drop(self, delivery: Delivery) -> None:
        """This consumer leaves it to the partition's next owner."""
        ...

    async def lag(self) -> int:
        """Events that the group has not finished."""
        ...

    async def close(self) -> None:
        """Give all partitions back."""
        ...


class AttemptLog(Protocol):
    """Attempts at events, kept beyond the process for buses that cannot count. Every method raises `Unavailable`."""

    async def begun(self, consumer: str, event: Event, attempt: int) -> None:
        """The group's attempt `attempt` is about to begin."""
        ...

    async def attempts(self, consumer: str, event_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Those of them that were begun, and how often."""
        ...

    async def forget(self, consumer: str, event_ids: Sequence[UUID]) -> None:
        """They are done with."""
        ...


class FakeChannel:
    """A channel in memory. A test pushes deliveries and looks at what was finished."""

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.finished: list[Delivery] = []
        self.dropped: list[Delivery] = []
        self.begun: list[tuple[str, int]] = []
        self.lost: set[int] = set()
        self.closed = False
        self._pushed = asyncio.Event()

    def push(self, *deliveries: Delivery) -> None:
        """Have these fetched."""
        self.waiting.extend(deliveries)
        self._pushed.set()

    async def fetch(self, limit: int, full: Collection[int], wait_s: float) -> list[Delivery]:
        """See `Channel`. Waits for `push`, not for the clock."""
        if not self.waiting and wait_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pushed.wait(), 0.01)
        self._pushed.clear()
        found = [delivery for delivery in self.waiting if delivery.partition not in full][:limit]
        self.waiting = [delivery for delivery in self.waiting if delivery not in found]
        return found

    def owns(self, delivery: Delivery) -> bool:
        """Unless a test has put its partition into `lost`."""
        return delivery.partition not in self.lost

    async def begin(self, delivery: Delivery, attempt: int) -> None:
        """Remember it."""
        self.begun.append((delivery.place, attempt))

    async def finish(self, deliveries: Sequence[Delivery]) -> None:
        """Remember them."""
        self.finished.extend(deliveries)

    def drop(self, delivery: Delivery) -> None:
        """Remember it."""
        self.dropped.append(delivery)

    async def lag(self) -> int:
        """What waits."""
        return len(self.waiting)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True
