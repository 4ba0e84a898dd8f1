"""Watches of one process, and a live log within it: enough where there is one replica, and for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from voicehelper.conversations.live import LiveEvent, Signal, Thread
from voicehelper.errors import Unavailable

_MOST_WAITING = 2000


class QueuedWatch:
    """`Watch` on a queue. A reader who lets it grow too long loses what is in it, and is told so."""

    def __init__(self, most: int = _MOST_WAITING) -> None:
        self._queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
        self._most = most

    def put(self, event: LiveEvent) -> None:
        """The next event."""
        if self._queue.qsize() >= self._most:
            self.miss()
        self._queue.put_nowait(event)

    def miss(self) -> None:
        """Events may have been missed."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self, timeout: float) -> LiveEvent | None:
        """See `Watch`."""
        try:
            async with asyncio.timeout(timeout):
                event = await self._queue.get()
        except TimeoutError:
            return None
        if event is None:
            raise Unavailable("Events may have been missed")
        return event


class Watches:
    """The watches of this process by conversation."""

    def __init__(self) -> None:
        self._watches: dict[Thread, set[QueuedWatch]] = {}

    def threads(self) -> Iterable[Thread]:
        """Conversations that are watched."""
        return list(self._watches)

    def __contains__(self, thread: Thread) -> bool:
        return thread in self._watches

    def add(self, thread: Thread) -> QueuedWatch:
        """A new watch."""
        watch = QueuedWatch()
        self._watches.setdefault(thread, set()).add(watch)
        return watch

    def remove(self, thread: Thread, watch: QueuedWatch) -> None:
        """End a watch."""
        watches = self._watches.get(thread, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(thread, None)

    def deliver(self, thread: Thread, event: LiveEvent) -> None:
        """Hand `event` to those who watch its conversation."""
        for watch in self._watches.get(thread, ()):
            watch.put(event)

    def miss(self) -> None:
        """Tell everybody that events may have been missed."""
        for watches in self._watches.values():
            for watch in watches:
                watch.miss()


class LocalLiveLog:
    """`LiveLog` within one process: what a replica has while there is no Redis, and two in a test share.

    Args:
        shared: another log of this kind, whose events and signals this one sees; each is a replica of its own.
    """

    def __init__(self, shared: "LocalLiveLog | None" = None) -> None:
        self._peers: list[LocalLiveLog] = shared._peers if shared else []
        self._peers.append(self)
        self._events: dict[Thread, list[LiveEvent]] = shared._events if shared else {}
        self._watches = Watches()
        self._heed: Callable[[Signal], None] = lambda _signal: None
        self.away = False

    def append(self, thread: Thread, event: LiveEvent) -> None:
        """See `LiveLog`. Ended answers are forgotten when the next one begins."""
        kept = self._events.setdefault(thread, [])
        if event.mark.number == 1:
            kept.clear()
        kept.append(event)
        for peer in self._peers:
            if peer is self or not peer.away:
                peer._watches.deliver(thread, event)

    async def read(self, thread: Thread, message_id: UUID) -> list[LiveEvent]:
        """See `LiveLog`."""
        if self.away:
            raise Unavailable("The log is away")
        return in_order(event for event in self._events.get(thread, ()) if event.message_id == message_id)

    @asynccontextmanager
    async def watch(self, thread: Thread) -> AsyncIterator[QueuedWatch]:
        """See `LiveLog`."""
        watch = self._watches.add(thread)
        try:
            yield watch
        finally:
            self._watches.remove(thread, watch)

    def tell(self, signal: Signal) -> None:
        """See `LiveLog`."""
        for peer in self._peers:
            if peer is not self and not peer.away and not self.away:
                peer._heed(signal)

    def listen(self, heed: Callable[[Signal], None]) -> None:
        """See `LiveLog`."""
        self._heed = heed

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""


def in_order(events: Iterable[LiveEvent]) -> list[LiveEvent]:
    """Events of one answer, each once and sorted; only those of the latest attempt."""
    by_mark = {event.mark: event for event in events}
    latest = max((mark.attempt for mark in by_mark), default=0)
    return [by_mark[mark] for mark in sorted(by_mark) if mark.attempt == latest]
