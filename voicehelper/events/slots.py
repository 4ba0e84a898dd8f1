"""How many handlers run at the same time, and when one runs alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """`count` at a time, or one alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = asyncio.Semaphore(count)
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def take(self, *, alone: bool) -> AsyncIterator[None]:
        """A slot, or all of them."""
        if not alone:
            async with self._free:
                yield
            return
        taken = 0
        async with self._alone:  # two that took half of the slots each would wait for ever
            try:
                while taken < self._count:
                    await self._free.acquire()
                    taken += 1
                yield
            finally:
                for _ in range(taken):
                    self._free.release()
