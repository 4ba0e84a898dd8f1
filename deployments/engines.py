"""Engines of one process, opened at first use and closed with it: PostgreSQL, the object store, the keyword index."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from deployments.wiring import Nodes
from voicehelper.errors import Unavailable
from voicehelper.knowledge.follower import KeywordFollower
from voicehelper.ports.objects import ObjectStore
from voicehelper.stores.keyword_files import index_name, keyword_folder
from voicehelper.stores.objects import build_objects
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.keyword_feed import PostgresKeywordFeed
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis import RedisLink, connect_redis
from voicehelper.stores.tantivy import KeywordWriter
from voicehelper.telemetry import get_logger

T = TypeVar("T")
_PATIENCE_S = 60.0
_POOL_SIZE = 8
_log = get_logger(__name__)


async def database(nodes: Nodes) -> Pool:
    """The process's pool on a schema that is up to date. Raises `Unavailable` when the server stays away."""

    async def open_pool() -> Pool:
        dsn = nodes.settings.postgres_dsn()
        await migrate(dsn)
        return await create_pool(dsn, max_size=_POOL_SIZE)

    async def make() -> Pool:
        pool = await _patiently(open_pool)
        nodes.resources.push_async_callback(pool.close)
        return pool

    return await nodes.shared("database", make)


async def feed_pool(nodes: Nodes) -> Pool:
    """One connection for what follows tables, so that it need not queue behind requests."""
    await database(nodes)  # waits for the server, and migrates it

    async def make() -> Pool:
        pool = await create_pool(nodes.settings.postgres_dsn(), max_size=1)
        nodes.resources.push_async_callback(pool.close)
        return pool

    return await nodes.shared("feed pool", make)


async def wakeups(nodes: Nodes) -> Wakeups:
    """Notifications from PostgreSQL, on one connection of the pool."""
    pool = await database(nodes)

    async def make() -> Wakeups:
        listener = Wakeups(pool)
        nodes.resources.push_async_callback(listener.close)
        return listener

    return await nodes.shared("wakeups", make)


async def objects(nodes: Nodes) -> ObjectStore:
    """Where files lie."""

    async def make() -> ObjectStore:
        store = build_objects(nodes.settings)
        close = getattr(store, "close", None)  # files have nothing to close
        if close is not None:
            nodes.resources.push_async_callback(close)
        return store

    return await nodes.shared("objects", make)


async def redis_link(nodes: Nodes) -> RedisLink:
    """The process's link to Redis; connects at first use, and may be away."""

    async def make() -> RedisLink:
        link = connect_redis(nodes.settings.redis_dsn())
        nodes.resources.push_async_callback(link.close)
        return link

    return await nodes.shared("redis", make)


async def keyword_follower(nodes: Nodes, patience_s: float = 0.0) -> KeywordFollower:
    """What keeps this machine's keyword index in step with the database, while no other process of the machine does.

    A follower with patience takes the index only after it lay free that long: it stands in for one without.
    """
    folder = keyword_folder(nodes.settings)
    feed = PostgresKeywordFeed(await database(nodes), await wakeups(nodes))
    return KeywordFollower(feed, PatientOpener(partial(KeywordWriter, folder), patience_s), index_name(folder))


class PatientOpener:
    """Opens the keyword index for writing, once it has been free for `patience_s` seconds."""

    def __init__(
        self, open_writer: Callable[[], KeywordWriter], patience_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_writer
        self._patience_s = patience_s
        self._now = now
        self._free_since: float | None = None

    def __call__(self) -> KeywordWriter:
        """Raises `Unavailable` while another process writes, or might come back to."""
        try:
            writer = self._open()
        except Unavailable:
            self._free_since = None
            raise
        if self._free_since is None:
            self._free_since = self._now()
        if self._now() - self._free_since >= self._patience_s:
            return writer
        writer.close()
        raise Unavailable("The keyword index is left to the indexer for a moment")


async def ping(pool: Pool) -> str:
    """The server's version. Raises when it does not answer."""
    async with guard.connection(pool, guard.SYSTEM) as connection:
        return str(await connection.fetchval("SHOW server_version"))


async def _patiently(make: Callable[[], Awaitable[T]]) -> T:
    """A replica that starts while the database restarts waits for it, instead of counting as a failed start."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        try:
            return await make()
        except Unavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            _log.warning("engine.awaited", error=error.message)
        await asyncio.sleep(0.5)
