"""Streams of events that end with their client."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import anyio
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from voicehelper.context import current_context
from voicehelper.conversations import LiveEvent, error_of
from voicehelper.gateway.problems import as_error, error_body

R = TypeVar("R")

# JSON leaves these as they are, and many clients (httpx among them) take them for ends of lines.
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
_COMMENT = format_sse_event(comment="keep-alive")


class EventStream(Response):
    """Server-sent events of an answer, of which the first has been looked at.

    Sends a comment when nothing happened for a while; closes the events when the client leaves or the server cancels.
    """

    media_type = "text/event-stream"
    keep_alive_s = 10.0

    def __init__(
        self,
        first: LiveEvent,
        events: AsyncGenerator[LiveEvent, None],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._first = first
        self._events = events
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        async with aclosing(self._events):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with suppress(ClientDisconnect):
                await while_connected(receive, self._write(send))

    async def _write(self, send: Send) -> None:
        alive = asyncio.create_task(self._keep_alive(send))
        try:
            await self._send(send, encode(self._first))
            try:
                async for event in self._events:
                    await self._send(send, encode(event))
            except Exception as error:  # noqa: BLE001 - becomes the stream's last event
                await self._send(send, _broken(error))
        finally:
            alive.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, body: bytes) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + self.keep_alive_s - loop.time()))
            if loop.time() >= self._sent_at + self.keep_alive_s:
                await self._send(send, _COMMENT)


def encode(event: LiveEvent) -> bytes:
    """`event` as a server-sent event; an error in the language of the request."""
    data = localised(event).translate(_LINE_ENDS)
    return format_sse_event(event=event.name, data_str=data, id=str(event.mark))


def localised(event: LiveEvent) -> str:
    """The data of `event`; of an error, with its text in the language of the request."""
    if event.name != "error":
        return event.data
    error, trace_id = error_of(event)
    body = error_body(error, current_context())
    return (body.model_copy(update={"trace_id": trace_id}) if trace_id else body).model_dump_json()


def _broken(failure: Exception) -> bytes:
    """The stream breaks off, the answer perhaps not: an error without an id, so that a client can resume."""
    data = error_body(as_error(failure), current_context()).model_dump_json()
    return format_sse_event(event="error", data_str=data.translate(_LINE_ENDS))


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
