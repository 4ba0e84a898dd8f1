"""Streams that end with their client: a pump that owns the generator, and the two ways to serve it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final, Generic, TypeVar

import anyio
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 64  # events produced before the client took them; then the model waits
# JSON leaves these as they are, and many clients (httpx among them) take them for ends of lines.
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
_COMMENT = format_sse_event(comment="keep-alive")


class _Ended:
    pass


class _Idle:
    pass


ENDED: Final = _Ended()
IDLE: Final = _Idle()


class Pump(Generic[T]):
    """Runs an async generator in one task from first to last step, so that whatever it keeps in context variables or
    cancel scopes holds, and so that waiting for an event can time out without disturbing it."""

    def __init__(self, events: AsyncGenerator[T, None]) -> None:
        self._queue: asyncio.Queue[T | Exception | _Ended] = asyncio.Queue(_AHEAD)
        self._task = asyncio.create_task(self._run(events))

    async def next(self, timeout: float | None = None) -> T | _Ended | _Idle:
        """The next event; `ENDED` after the last, `IDLE` when none came within `timeout` seconds.

        Raises what the generator raised, in its place among the events.
        """
        try:
            async with asyncio.timeout(timeout):
                item = await self._queue.get()
        except TimeoutError:
            return IDLE
        if isinstance(item, Exception):
            raise item
        return item

    async def close(self) -> None:
        """Stop the generator, if it still runs, and wait until it has cleaned up."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self, events: AsyncGenerator[T, None]) -> None:
        async with aclosing(events):
            try:
                async for event in events:
                    await self._queue.put(event)
            except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
                await self._queue.put(error)
            else:
                await self._queue.put(ENDED)


class EventStream(Response):
    """Server-sent events from a pump whose first event has been looked at.

    Sends a comment when nothing happened for a while; closes the pump when the client leaves or the server cancels.
    """

    media_type = "text/event-stream"
    keep_alive_s = 10.0

    def __init__(
        self,
        first: Any,
        pump: Pump[Any],
        encode: Callable[[Any], list[tuple[str, str]]],
        encode_error: Callable[[Exception], tuple[str, str]],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._pump = pump
        self._encode = encode
        self._encode_error = encode_error
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with suppress(ClientDisconnect):
                await while_connected(receive, self._write(send))
        finally:
            await self._pump.close()

    async def _write(self, send: Send) -> None:
        item: Any = self._first
        while item is not ENDED:
            await send({"type": "http.response.body", "body": self._bytes_of(item), "more_body": True})
            if isinstance(item, Exception):
                break
            try:
                item = await self._pump.next(self.keep_alive_s)
            except Exception as error:  # noqa: BLE001 - becomes the stream's last event
                item = error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _bytes_of(self, item: Any) -> bytes:
        if item is IDLE:
            return _COMMENT
        frames = [self._encode_error(item)] if isinstance(item, Exception) else self._encode(item)
        return b"".join(self._frame(name, data) for name, data in frames)

    def _frame(self, name: str, data: str) -> bytes:
        self._count += 1
        return format_sse_event(event=name, data_str=data.translate(_LINE_ENDS), id=str(self._count))


async def while_connected(receive: Receive, work: Coroutine[Any, Any, R]) -> R:
    """The result of `work`, which is cancelled when the client leaves (then raises `ClientDisconnect`)."""
    results: list[R] = []

    async def run(scope: anyio.CancelScope) -> None:
        results.append(await work)
        scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_until_disconnect, receive, group.cancel_scope)
            await run(group.cancel_scope)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    if not results:
        raise ClientDisconnect
    return results[0]


async def _until_disconnect(receive: Callable[[], Awaitable[Any]], scope: anyio.CancelScope) -> None:
    while True:
        if (await receive())["type"] == "http.disconnect":
            scope.cancel()
            return
