"""What is ready goes out together; nothing waits for what is not; the source is never left halfway."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from voicehelper.gateway.openai.bursts import Bursts


class Log(list[str]):
    """What happened, in order."""

    async def flushed(self) -> None:
        await asyncio.sleep(0)  # as sending does
        self.append("flush")


async def source(log: Log, *waits: int) -> AsyncGenerator[int, None]:
    """Numbers; before some of them it waits."""
    try:
        for number in range(5):
            if number in waits:
                await asyncio.sleep(0.001)
            yield number
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    finally:
        log.append("closed")


async def read(log: Log, events: AsyncGenerator[int, None]) -> None:
    bursts = Bursts(events, log.flushed)
    try:
        while True:
            log.append(str(await bursts.next()))
    except StopAsyncIteration:
        log.append("end")


async def test_only_waiting_flushes() -> None:
    log = Log()
    await read(log, source(log, 0, 3))
    assert log == ["flush", "0", "1", "2", "flush", "3", "4", "closed", "end"]


async def test_errors_arrive() -> None:
    async def broken(wait: bool) -> AsyncGenerator[int, None]:
        yield 1
        if wait:
            await asyncio.sleep(0)
        raise ValueError

    for wait in (True, False):
        log = Log()
        with pytest.raises(ValueError):
            await read(log, broken(wait))
        assert log == ["1", "flush"] if wait else ["1"]


async def test_cancelled_while_it_waits() -> None:
    log = Log()
    async with aclosing(source(log, 2)) as events:
        task = asyncio.create_task(read(log, events))
        while "flush" not in log:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log[-2:] == ["cancelled", "closed"]


async def test_cancelled_while_it_sends() -> None:
    log, sending = Log(), asyncio.Event()

    async def stuck() -> None:
        sending.set()
        await asyncio.Event().wait()

    async with aclosing(source(log, 1)) as events:
        bursts = Bursts(events, stuck)
        assert await bursts.next() == 0

        async def wait() -> int:
            return await bursts.next()

        task = asyncio.create_task(wait())
        await sending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cancelled", "closed"]


async def test_a_source_may_outlive_a_timeout_within() -> None:
    async def patient() -> AsyncGenerator[str, None]:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            yield "late"

    log = Log()
    assert await Bursts(patient(), log.flushed).next() == "late"
    assert log == ["flush"]
