"""Tokens, keys and permissions of this process."""

from deployments.engines import database, redis_link, wakeups
from deployments.wiring import Nodes
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.pool import create_pool


async def authentication_stack(nodes: Nodes) -> AuthenticationStack:
    """Started, and following what other replicas change. Raises `Unavailable`."""

    async def make() -> AuthenticationStack:
        pool = await database(nodes)  # waits for the server, and migrates it
        feed_pool = await create_pool(nodes.settings.postgres_dsn(), max_size=1)
        nodes.resources.push_async_callback(feed_pool.close)
        link = await redis_link(nodes)
        clock = SystemClock()
        stack = authentication(nodes.settings, pool, await wakeups(nodes), link, clock, feed_pool=feed_pool)
        await stack.start()
        nodes.run("authentication", stack.run())
        return stack

    return await nodes.shared("authentication", make)
