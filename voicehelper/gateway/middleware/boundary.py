"""Where every failure ends: a response of our format, or a close code, if none was begun."""

from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from voicehelper.gateway.credentials import chosen_subprotocol
from voicehelper.gateway.problems import as_error, close_frame, error_response


class Boundary:
    """Renders what the layers below raise. After the response has begun, the failure is only logged: the broken
    connection tells the client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await _Socket(scope, receive, send).run(self._app)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as failure:  # the process outlives any request; `as_error` logs what is not meant for clients
            if started:
                as_error(failure)
                raise
            await error_response(failure, scope["path"])(scope, receive, send)


class _Socket:
    """One WebSocket. A failure becomes close code 4000 + HTTP status with the error's code as its reason.

    A socket that was not accepted yet is accepted first: pages cannot see why a handshake failed, but see close codes.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._connected = self._accepted = self._closed = False

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._received, self._sent)
        except WebSocketDisconnect:
            return
        except Exception as failure:  # noqa: BLE001 - as for requests
            frame = close_frame(failure)
            if not self._closed:
                await self._close(frame)

    async def _received(self) -> Message:
        message = await self._receive()
        self._connected = True
        self._closed = self._closed or message["type"] == "websocket.disconnect"
        return message

    async def _sent(self, message: Message) -> None:
        over = self._closed
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        self._closed = self._closed or message["type"] == "websocket.close"
        try:
            await self._send(message)
        except RuntimeError as error:
            if over:
                raise
            self._closed = True  # uvicorn closed it (a frame that broke the protocol), and says so in this way only
            raise WebSocketDisconnect(1006) from error

    async def _close(self, frame: Message) -> None:
        if not self._connected:
            await self._receive()
        with suppress(WebSocketDisconnect):
            if not self._accepted:
                await self._sent({"type": "websocket.accept", "subprotocol": chosen_subprotocol(self._scope)})
            await self._sent(frame)
