"""What a client of a socket has sent and nobody has looked at yet: bounded, by ending who sends too much.

Not reading is no way to slow a client down: in front of us stands Ray Serve's proxy, which takes whatever comes and
keeps it in memory, without a limit and for all its clients.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from starlette.types import Message
from starlette.websockets import WebSocketDisconnect


class Flooded(Exception):
    """A client sent more than waits here."""


class Inbox:
    """Reads a socket as fast as it gives; `next` hands the messages out.

    Args:
        receive: the socket's.
        most: messages that may wait.
        most_bytes: and how much of them.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]], most: int = 1500, most_bytes: int = 8 << 20) -> None:
        self._receive = receive
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    async def fill(self) -> None:
        """Until it raises `WebSocketDisconnect`, at the client's end, or `Flooded`."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            self._waiting.append(message)
            self._bytes += _size(message)
            if len(self._waiting) > self._most or self._bytes > self._most_bytes:
                raise Flooded
            self._news.set()

    async def next(self) -> Message:
        """The next message."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        message = self._waiting.popleft()
        self._bytes -= _size(message)
        return message


def _size(message: Message) -> int:
    return len(message.get("text") or message.get("bytes") or "")
