"""A task that is cancelled while it waits for Redis ends, though redis-py 8.1 swallows some cancellations (a pipeline
whose connection is just being taken): a background loop went on for ever, and with it the process's end hung."""

import asyncio
from contextlib import suppress

import pytest

from voicehelper.errors import Unavailable
from voicehelper.stores.redis import RedisLink


async def swallowing(_client: object) -> str:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(10)
    return "reply"


async def test_a_swallowed_cancellation_comes_out() -> None:
    link = RedisLink(None)
    task = asyncio.create_task(link.call(swallowing))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_being_cancelled_may_still_clean_up() -> None:
    link, replies = RedisLink(None), []

    async def quick(_client: object) -> str:
        return "cleaned"

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            replies.append(await link.call(quick))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert replies == ["cleaned"]


async def test_an_outer_time_out_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await RedisLink(None).call(swallowing)


async def test_its_own_time_out_is_no_cancellation() -> None:
    async def slow(_client: object) -> None:
        await asyncio.sleep(10)

    with pytest.raises(Unavailable):
        await RedisLink(None).call(slow, timeout=0.01)
