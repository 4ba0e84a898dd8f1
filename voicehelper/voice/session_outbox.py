"""What waits to be sent to a session's client."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from voicehelper.voice.outputs import Closed, Output

_MOST = 5000
_MOST_BYTES = 16 * 2**20


class Outbox:
    """Never waits. A client that does not read is given up (`Closed("slow", 1013)`); the session can be resumed."""

    def __init__(self) -> None:
        self._waiting: deque[Output] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the last output is in."""
        return self._over

    def put(self, output: Output) -> None:
        """One more; nothing comes after `Closed`."""
        if self._over:
            return
        self._bytes += len(getattr(output, "pcm", b""))
        if len(self._waiting) >= _MOST or self._bytes > _MOST_BYTES:
            self._waiting.clear()
            output = Closed("slow", 1013)
        self._waiting.append(output)
        self._over = isinstance(output, Closed)
        self._news.set()

    async def read(self) -> AsyncIterator[Output]:
        """All of them, up to `Closed`."""
        while True:
            while self._waiting:
                output = self._waiting.popleft()
                self._bytes -= len(getattr(output, "pcm", b""))
                yield output
                if isinstance(output, Closed):
                    return
            self._news.clear()
            await self._news.wait()
