"""Writing a stream: the first event decides the status, later failures are the stream's last event."""

import asyncio
from contextlib import aclosing

from voicehelper.errors import BrokenStream, DeadlineExceeded
from voicehelper.gateway.openai.bursts import Bursts
from voicehelper.gateway.openai.events import Event, Events
from voicehelper.gateway.openai.frames import ALIVE, Frames
from voicehelper.gateway.openai.lean import Call
from voicehelper.gateway.problems import as_error
from voicehelper.ports.chat import ChatDone, ChatProgress

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_SILENT_S = 10.0  # for so long, signs of life do not begin the response: its status may still become an error's
_MOST_AT_ONCE = 64  # events


async def stream(call: Call, events: Events, frames: Frames) -> None:
    """Send all of `events`. Raises what comes before the first one."""
    async with aclosing(events):
        first = await _first(call, events)
        await _Stream(call, events, frames).run(first)


async def _first(call: Call, events: Events) -> Event:
    """The first event with a content; signs of life are skipped for a while."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _SILENT_S
    try:
        async with asyncio.timeout(call.seconds_left):
            async for event in events:
                if type(event) is not ChatProgress or loop.time() >= until:
                    return event
    except TimeoutError as error:
        raise DeadlineExceeded from error
    raise BrokenStream


class _Stream:
    """One response. What the source gives without waiting goes out in one message."""

    def __init__(self, call: Call, events: Events, frames: Frames) -> None:
        self._call = call
        self._send = call.sender
        self._frames = frames
        self._bursts = Bursts(events, self._flush)
        self._ready: list[bytes] = []

    async def run(self, event: Event) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        self._ready.append(self._frames.opening())
        try:
            async with asyncio.timeout(self._call.seconds_left) as limit:
                await self._write(event)
        except Exception as failure:  # noqa: BLE001 - becomes the stream's last event; `as_error` logs the rest
            late = isinstance(failure, TimeoutError) and limit.expired()
            self._ready.append(self._frames.failed(DeadlineExceeded() if late else as_error(failure)))
        await self._send({"type": "http.response.body", "body": b"".join(self._ready), "more_body": False})

    async def _write(self, event: Event) -> None:
        ready, piece, bursts = self._ready, self._frames.piece, self._bursts
        try:
            while type(event) is not ChatDone:
                ready.append(ALIVE if type(event) is ChatProgress else piece(event))
                if len(ready) >= _MOST_AT_ONCE:
                    await self._flush()
                event = await bursts.next()
        except StopAsyncIteration:
            raise BrokenStream from None
        ready.append(self._frames.ending(event))

    async def _flush(self) -> None:
        if self._ready:
            body = b"".join(self._ready)
            self._ready.clear()
            if body:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
