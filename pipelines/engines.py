"""The engines of one process of a job: a database pool, the object store, and the loop they live on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from voicehelper.config import Settings
from voicehelper.ports.clock import SystemClock
from voicehelper.retrying import until_available
from voicehelper.stores.objects import build_objects
from voicehelper.stores.postgres.index_queue import PostgresIndexQueue, PostgresObjectTrash
from voicehelper.stores.postgres.keyword_feed import PostgresKeywordFeed
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.postgres.wakeups import Wakeups

T = TypeVar("T")

PATIENCE_S = 120.0
"""A job gives up when an engine stays away for longer; what it has not finished is then done by the next run."""


class Engines:
    """What a process of the job talks to. Every call waits for a lost engine, up to `PATIENCE_S`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.objects = build_objects(settings)

    async def open(self, connections: int = 2) -> None:
        """Connect. Raises `Unavailable`, or `TimeoutError` after `PATIENCE_S`."""
        dsn = self.settings.postgres_dsn()
        self.pool = await patiently("postgres", lambda: create_pool(dsn, min_size=1, max_size=connections))
        self.wakeups = Wakeups(self.pool)
        self.knowledge = PostgresKnowledge(self.pool)
        self.queue = PostgresIndexQueue(self.pool, self.wakeups)
        self.trash = PostgresObjectTrash(self.pool)
        self.feed = PostgresKeywordFeed(self.pool, self.wakeups)

    async def close(self) -> None:
        """Give everything back."""
        await self.wakeups.close()
        await self.pool.close()
        close = getattr(self.objects, "close", None)  # files have nothing to close
        if close is not None:
            await close()


class Stage:
    """Base of the job's stages: engines, and a loop on which a synchronous `__call__` awaits them."""

    def __init__(self, public: dict[str, Any]) -> None:
        self.settings = Settings(**public)
        self.engines = Engines(self.settings)
        self._runner = asyncio.Runner()
        self.wait(self.engines.open())

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Run `call` to its end."""
        return self._runner.run(call)


async def patiently(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """The result of `call`, tried again while its engine is away. Raises `TimeoutError` after `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        return await until_available(what, call, SystemClock())
