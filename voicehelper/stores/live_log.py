"""Events of running answers in Redis: a stream per conversation, and a channel per tenant for signals to writers.

Writing is off the path of the answer: events wait in this process and go out together, some fifty times a second. What
cannot be written waits on, up to a limit; a reader who finds a hole asks the writer to send everything again, so the
log may hold an event twice, and readers take each once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import orjson
from redis.exceptions import RedisError

from voicehelper.conversations.live import LiveEvent, Mark, Signal, Thread
from voicehelper.conversations.live_watches import QueuedWatch, Watches, in_order
from voicehelper.conversations.tasks import end_tasks
from voicehelper.errors import Unavailable
from voicehelper.stores.redis import RedisLink, tenant_key
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

FLUSH_S = 0.02
_MOST_WAITING = 20_000  # events; a few MB
_BATCH = 500
_LONGEST = 5000  # entries of a conversation, about
_PAGE = 500
_POLL_MS = 50
_RETRY_S = 0.5
_LISTEN_S = 10.0
_CHANNELS = tenant_key("*", "control")

Outgoing = tuple[Thread, LiveEvent] | Signal


class RedisLiveLog:
    """`LiveLog` for all replicas that share a server.

    Args:
        link: to the server.
        ttl_s: life of a conversation's log after its last event.
    """

    def __init__(self, link: RedisLink, ttl_s: int) -> None:
        self._link = link
        self._ttl_s = ttl_s
        self._watches = Watches()
        self._cursors: dict[Thread, str] = {}
        self._waiting: deque[Outgoing] = deque(maxlen=_MOST_WAITING)
        self._work = asyncio.Event()
        self._watched = asyncio.Event()
        self._heed: Callable[[Signal], None] = lambda _signal: None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """See `LiveLog`."""
        self._tasks = [asyncio.create_task(part()) for part in (self._write, self._tail, self._hear)]

    async def stop(self) -> None:
        """See `LiveLog`."""
        with suppress(Unavailable):
            while self._waiting:
                await self._flush()
        await end_tasks(self._tasks)

    def append(self, thread: Thread, event: LiveEvent) -> None:
        """See `LiveLog`."""
        self._watches.deliver(thread, event)
        self._waiting.append((thread, event))
        self._work.set()

    def tell(self, signal: Signal) -> None:
        """See `LiveLog`."""
        self._waiting.append(signal)
        self._work.set()

    def listen(self, heed: Callable[[Signal], None]) -> None:
        """See `LiveLog`."""
        self._heed = heed

    async def read(self, thread: Thread, message_id: UUID) -> list[LiveEvent]:
        """See `LiveLog`. Reads backwards, because the answer asked for is mostly the last."""
        found: list[LiveEvent] = []
        end = "+"
        while True:
            entries: Any = await self._link.call(
                lambda client, end=end: client.xrevrange(_key(thread), end, "-", count=_PAGE)  # type: ignore[misc]
            )
            page = [_event(fields) for _, fields in entries]
            found += [event for event in page if event.message_id == message_id]
            begun = any(event.mark.number == 1 and event.message_id == message_id for event in page)
            if begun or len(entries) < _PAGE:
                return in_order(found)
            end = "(" + entries[-1][0].decode()

    @asynccontextmanager
    async def watch(self, thread: Thread) -> AsyncIterator[QueuedWatch]:
        """See `LiveLog`. Without the server, there are only the events of this process."""
        watch = self._watches.add(thread)
        try:
            if thread not in self._cursors:
                with suppress(Unavailable):
                    self._cursors[thread] = await self._last(thread)
                    self._watched.set()
            yield watch
        finally:
            self._watches.remove(thread, watch)
            if thread not in self._watches:
                self._cursors.pop(thread, None)

    async def _last(self, thread: Thread) -> str:
        entries: Any = await self._link.call(lambda client: client.xrevrange(_key(thread), count=1))
        return entries[0][0].decode() if entries else "0-0"

    # -- writing

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            try:
                await self._flush()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                self._forget_signals()
            await asyncio.sleep(FLUSH_S)

    async def _flush(self) -> None:
        """Send what waits. It stays until the server has confirmed it."""
        batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
        if not batch:
            self._work.clear()
            return
        first = batch[0]
        await self._link.call(lambda client: self._send(client, batch))
        for _ in batch:
            if self._waiting and self._waiting[0] is first:
                self._waiting.popleft()
                first = self._waiting[0] if self._waiting else first

    async def _send(self, client: Any, batch: list[Outgoing]) -> None:
        pipeline = client.pipeline(transaction=False)
        touched = set()
        for item in batch:
            if isinstance(item, Signal):
                pipeline.publish(tenant_key(item.tenant_id, "control"), _message(item))
            else:
                thread, event = item
                touched.add(key := _key(thread))
                pipeline.xadd(key, _fields(event), maxlen=_LONGEST, approximate=True)
        for key in touched:
            pipeline.expire(key, self._ttl_s)
        await pipeline.execute()

    def _forget_signals(self) -> None:
        """What a signal says is true only for a moment."""
        events = [item for item in self._waiting if not isinstance(item, Signal)]
        self._waiting.clear()
        self._waiting.extend(events)

    # -- reading what others write

    async def _tail(self) -> None:
        """One connection reads the logs of all conversations that are watched here."""
        while True:
            if not self._cursors:
                self._watched.clear()
                await self._watched.wait()
            try:
                await self._read_on()
            except Unavailable:
                self._watches.miss()
                await asyncio.sleep(_RETRY_S)
                await self._find_places()

    async def _read_on(self) -> None:
        streams: Any = {_key(thread): place for thread, place in self._cursors.items()}
        threads = {_key(thread).encode(): thread for thread in self._cursors}
        replies: Any = await self._link.call(lambda client: client.xread(streams, count=_BATCH, block=_POLL_MS))
        for name, pages in (replies or {}).items():
            thread = threads[name]
            for entry_id, fields in (entry for page in pages for entry in page):
                if thread in self._cursors:
                    self._cursors[thread] = entry_id.decode()
                    self._watches.deliver(thread, _event(fields))

    async def _find_places(self) -> None:
        """After the server was away: watches without a place get one."""
        for thread in self._watches.threads():
            with suppress(Unavailable):
                self._cursors[thread] = await self._last(thread)

    async def _hear(self) -> None:
        """Signals of other replicas (and our own, which concern nobody here)."""
        while True:
            try:
                async with self._link.client.pubsub(ignore_subscribe_messages=True) as channels:
                    await channels.psubscribe(_CHANNELS)
                    while True:
                        message = await channels.get_message(timeout=_LISTEN_S)
                        if message is not None:
                            self._take(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("live_log.deaf", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    def _take(self, data: bytes) -> None:
        try:
            said = orjson.loads(data)
            signal = Signal(said["act"], UUID(said["tenant"]), UUID(said["message"]), said.get("reader", ""))
        except (ValueError, KeyError) as error:
            log.warning("live_log.odd_signal", error=type(error).__name__)
            return
        self._heed(signal)


def _key(thread: Thread) -> str:
    return tenant_key(thread.tenant_id, "live", thread.conversation_id)


def _fields(event: LiveEvent) -> dict[Any, Any]:
    mark = f"{event.mark.attempt}.{event.mark.number}"
    return {"answer": str(event.message_id), "n": mark, "event": event.name, "data": event.data}


def _event(fields: dict[bytes, bytes]) -> LiveEvent:
    attempt, _, number = fields[b"n"].decode().partition(".")
    answer = UUID(fields[b"answer"].decode())
    return LiveEvent(answer, Mark(int(attempt), int(number)), fields[b"event"].decode(), fields[b"data"].decode())


def _message(signal: Signal) -> bytes:
    said = {"act": signal.act, "tenant": str(signal.tenant_id), "message": str(signal.message_id)}
    return orjson.dumps({**said, "reader": signal.reader})
