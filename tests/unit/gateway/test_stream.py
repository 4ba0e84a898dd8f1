"""The pump: one task for a generator's whole life, errors in their place, cancellation that reaches the model."""

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar

import pytest
from starlette.requests import ClientDisconnect

from voicehelper.config import HttpSettings
from voicehelper.gateway.classes import RouteClass, body_limit_of, class_of, deadline_of
from voicehelper.gateway.stream import ENDED, IDLE, Pump, while_connected
from voicehelper.ports.chat import ChatDelta, ChatEvent, ChatMessage, ChatRequest, FakeChatModel

_inside: ContextVar[str] = ContextVar("inside", default="")


async def test_events_then_end() -> None:
    async def two() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    pump = Pump(two())
    assert [await pump.next() for _ in range(3)] == [1, 2, ENDED]
    await pump.close()


async def test_errors_come_in_their_place() -> None:
    async def breaks() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("x")

    pump = Pump(breaks())
    assert await pump.next() == 1
    with pytest.raises(ValueError, match="x"):
        await pump.next()
    await pump.close()


async def test_idleness_disturbs_nothing() -> None:
    go = asyncio.Event()

    async def waits() -> AsyncGenerator[int, None]:
        await go.wait()
        yield 1

    pump = Pump(waits())
    assert await pump.next(0.01) is IDLE
    assert await pump.next(0.01) is IDLE
    go.set()
    assert await pump.next(1) == 1
    await pump.close()


async def test_one_context_for_the_generators_whole_life() -> None:
    async def keeps() -> AsyncGenerator[str, None]:
        token = _inside.set("yes")
        try:
            yield _inside.get()
            yield _inside.get()
        finally:
            _inside.reset(token)  # raises when run in another context

    pump = Pump(keeps())
    assert await pump.next() == "yes"
    assert await asyncio.create_task(pump.next()) == "yes"
    assert await pump.next() is ENDED


async def test_a_slow_reader_holds_the_model_back() -> None:
    made = 0

    async def endless() -> AsyncGenerator[int, None]:
        nonlocal made
        while True:
            made += 1
            yield made

    pump = Pump(endless())
    await pump.next()
    for _ in range(500):
        await asyncio.sleep(0)
    assert made < 100
    await pump.close()


@pytest.mark.parametrize("delay", [0.001, 60.0])
async def test_closing_stops_the_chat_model_at_once(delay: float) -> None:
    model = FakeChatModel(reply="很长的回答" * 1000, delay=delay)

    async def answer() -> AsyncGenerator[ChatEvent, None]:
        stream = model.stream(ChatRequest((ChatMessage("user", "x"),)))
        assert isinstance(stream, AsyncGenerator)
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()

    pump = Pump(answer())
    if delay < 1:
        assert isinstance(await pump.next(), ChatDelta)
    else:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        await pump.close()
    assert model.cancelled == 1


async def test_work_ends_with_the_connection() -> None:
    left = asyncio.Event()

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def forever() -> None:
        await asyncio.sleep(60)

    async def quick() -> int:
        return 7

    async def breaks() -> None:
        raise KeyError("x")

    assert await while_connected(receive, quick()) == 7
    with pytest.raises(KeyError):
        await while_connected(receive, breaks())
    task = asyncio.create_task(while_connected(receive, forever()))
    await asyncio.sleep(0)
    left.set()
    with pytest.raises(ClientDisconnect):
        await asyncio.wait_for(task, 1)


def of(method: str, path: str, kind: str = "http") -> RouteClass:
    return class_of({"type": kind, "method": method, "path": path})


def test_classes_of_routes() -> None:
    http = HttpSettings(request_timeout_s=1, answer_timeout_s=2, max_body_bytes=3, max_upload_bytes=4)
    answer = of("POST", "/api/v1/conversations/1/messages")
    upload = of("POST", "/api/v1/knowledge/bases/1/documents")
    assert (answer, upload) == (RouteClass.ANSWER, RouteClass.UPLOAD)
    assert of("POST", "/api/v1/conversations/1/messages/2/regenerate") is RouteClass.ANSWER
    assert of("GET", "/api/v1/conversations/1/messages/2/events") is RouteClass.FOLLOW
    assert of("GET", "/api/v1/conversations/1/messages") is RouteClass.PLAIN
    assert of("POST", "/api/v1/conversations/1/messages/2") is RouteClass.PLAIN
    assert of("POST", "/api/v1/auth/login") is RouteClass.LOGIN
    assert of("GET", "/api/v1/auth/login") is RouteClass.PLAIN
    assert of("GET", "/ws/conversations/1", "websocket") is RouteClass.SOCKET
    assert of("BREW", "/") is RouteClass.UNKNOWN
    kinds = (RouteClass.PLAIN, answer, upload, RouteClass.FOLLOW, RouteClass.SOCKET)
    assert [deadline_of(kind, http) for kind in kinds] == [1, 2, None, 2, None]
    assert body_limit_of(answer, http) == 3
    assert body_limit_of(upload, http) == 4 + 64 * 1024
