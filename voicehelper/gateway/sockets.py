"""A WebSocket on which a device follows a conversation."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from voicehelper.conversations import LiveEvent
from voicehelper.errors import Unavailable
from voicehelper.gateway.credentials import chosen_subprotocol
from voicehelper.gateway.stream import localised

TRY_AGAIN_LATER = 1013
"""Close code for a device that does not read (RFC 6455's registry)."""

_PING = '{"id":null,"message_id":null,"event":"ping","data":{}}'


class SlowReader(Exception):
    """The device does not take what is sent."""


class ConversationSocket:
    """Sends the events of a conversation until the device leaves, its token ends, or it does not keep up.

    What the device sends is ignored; a ping goes out when nothing happened for a while.

    Args:
        socket: not accepted yet.
        events: of the conversation.
        check: raises when the token is no longer good; asked again and again.
    """

    check_s = 0.5
    ping_s = 20.0
    send_s = 10.0

    def __init__(
        self, socket: WebSocket, events: AsyncGenerator[LiveEvent, None], check: Callable[[], Awaitable[object]]
    ) -> None:
        self._socket = socket
        self._events = events
        self._check = check
        self._sending = asyncio.Lock()
        self._sent_at = 0.0

    async def run(self) -> None:
        """Serve the socket. Raises what `events` and `check` raise; whoever renders errors closes it then."""
        await self._socket.accept(chosen_subprotocol(self._socket.scope))
        parts = [asyncio.create_task(part()) for part in (self._send_events, self._receive, self._watch, self._ping)]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        except (SlowReader, TimeoutError):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._socket.close(TRY_AGAIN_LATER, "Too slow")
        except WebSocketDisconnect:
            return
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _send_events(self) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                await self._send(frame(event))
        raise Unavailable("No more events")  # they have no end of their own

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.check_s)
            await self._check()

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + self.ping_s - loop.time()))
            if loop.time() >= self._sent_at + self.ping_s:
                await self._send(_PING)

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(self.send_s), self._sending:
            self._sent_at = asyncio.get_running_loop().time()
            await self._socket.send_text(text)


def frame(event: LiveEvent) -> str:
    """`{"id", "message_id", "event", "data"}`; id and data as in a stream of the answer alone."""
    return f'{{"id":"{event.mark}","message_id":"{event.message_id}","event":"{event.name}","data":{localised(event)}}}'
