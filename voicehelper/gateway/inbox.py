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
        self._over: WebSocketDisconnect | Flooded | None = None

    async def fill(self) -> None:
        """Until it raises `WebSocketDisconnect`, at the client's end, or `Flooded`."""
        while self._over is None:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._over = WebSocketDisconnect(message.get("code", 1000))
            else:
                self._waiting.append(message)
                self._bytes += _size(message)
                if len(self._waiting) > self._most or self._bytes > self._most_bytes:
                    self._over = Flooded()
            self._news.set()
        raise self._over

    async def next(self) -> Message:
        """The next message. Raises as `fill` does: at a flood at once, at the client's end when nothing waits."""
        while not self._waiting and self._over is None:
            self._news.clear()
            await self._news.wait()
        if self._over is not None and (isinstance(self._over, Flooded) or not self._waiting):
            raise self._over
        message = self._waiting.popleft()
        self._bytes -= _size(message)
        return message


class Allowance:
    """A token bucket: so much at once, so much a second.

    Args:
        burst: what may come at once.
        rate: what may come in a second.
        now: seconds, monotonic.
    """

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._at = burst, now

    def take(self, amount: float, now: float) -> float:
        """Seconds to wait before what comes next, after `amount` came."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._left / self._rate)


def _size(message: Message) -> int:
    return len(message.get("text") or message.get("bytes") or "")
