"""The process's connection to Redis (Valkey), which may be away at any moment.

Nothing of ours is lost with Redis: it holds caches, counters, live logs of running answers. So every call either works
within its time or raises `Unavailable`; while the server is away, calls fail at once, but for one every half second.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from voicehelper.errors import Unavailable
from voicehelper.telemetry import get_logger

T = TypeVar("T")
log = get_logger(__name__)

_RETRY_S = 0.5
_CALL_S = 1.0


class RedisLink:
    """A client and whether its server was there lately."""

    def __init__(self, client: Redis, now: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._now = now
        self._away_until = 0.0

    @property
    def available(self) -> bool:
        """False from a failed call until the next attempt is due."""
        return self._now() >= self._away_until

    async def call(self, command: Callable[[Redis], Awaitable[T]], timeout: float = _CALL_S) -> T:
        """The result of `command(client)`. Raises `Unavailable` when the server is away or takes over `timeout` s."""
        if not self.available:
            raise Unavailable("Redis is not available", retry_after=_RETRY_S)
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        try:
            async with asyncio.timeout(timeout):
                result = await command(self.client)
        except (RedisError, OSError, TimeoutError) as error:
            if self.available:
                log.warning("redis.away", error=type(error).__name__)
            self._away_until = self._now() + _RETRY_S
            raise Unavailable("Redis is not available", retry_after=_RETRY_S) from error
        if task is not None and task.cancelling() > cancelled:  # redis-py 8.1 swallows some: its task would never end
            raise asyncio.CancelledError
        return result

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


def connect_redis(url: str, connections: int = 32) -> RedisLink:
    """A link to the server at `url`; connects at first use. Replies come as bytes."""
    pool = BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=1, socket_timeout=30, socket_connect_timeout=1, protocol=3
    )
    return RedisLink(Redis(connection_pool=pool))


def tenant_key(tenant_id: UUID | str, *parts: object) -> str:
    """The key of something that belongs to a tenant: `vh:{tenant}:part:part`. The braces keep a tenant in one slot."""
    return ":".join([f"vh:{{{tenant_id}}}", *map(str, parts)])
