"""Time, so that tests can own it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time and waiting."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """`time.time()`."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)


class FakeClock:
    """Time that moves only when told to; `sleep` moves it at once."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start

    def now(self) -> float:
        """The set time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Advance and yield to other tasks once."""
        self.time += seconds
        await asyncio.sleep(0)
