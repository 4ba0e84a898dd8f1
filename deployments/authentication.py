"""Tokens, keys and permissions of this process."""

from deployments.engines import database, feed_pool, redis_link, wakeups
from deployments.wiring import Nodes
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication


async def authentication_stack(nodes: Nodes) -> AuthenticationStack:
    """Started, and following what other replicas change. Raises `Unavailable`."""

    async def make() -> AuthenticationStack:
        pool = await database(nodes)
        link = await redis_link(nodes)
        feed, clock = await feed_pool(nodes), SystemClock()
        stack = authentication(nodes.settings, pool, await wakeups(nodes), link, clock, feed_pool=feed)
        await stack.start()
        nodes.run("authentication", stack.run())
        return stack

    return await nodes.shared("authentication", make)
