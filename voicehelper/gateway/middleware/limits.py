"""How much a request may carry and how long it may take."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.errors import DeadlineExceeded, InvalidInput, PayloadTooLarge
from voicehelper.gateway.classes import RouteClass, body_limit_of, class_of, deadline_of

_ENDED = frozenset({RouteClass.PLAIN, RouteClass.LOGIN, RouteClass.UNKNOWN})


class BodyLimit:
    """Refuses a body over its class's limit: by Content-Length before reading any of it, else while it is read."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises `PayloadTooLarge`, `InvalidInput`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = body_limit_of(class_of(scope), self._settings)
        if _content_length(scope) > limit:
            raise PayloadTooLarge(details={"limit_bytes": limit})
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                # An HTTPException, because FastAPI turns any other error of reading a body into a 400.
                raise HTTPException(413) from PayloadTooLarge(details={"limit_bytes": limit})
            return message

        await self._app(scope, counted, send)


class Deadlines:
    """Ends plain requests that take too long; answers watch their own time, uploads have none."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises `DeadlineExceeded`."""
        kind = class_of(scope) if scope["type"] == "http" else RouteClass.SOCKET
        if kind not in _ENDED:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(deadline_of(kind, self._settings)) as limit:
                await self._app(scope, receive, send)
        except TimeoutError as error:
            if limit.expired():
                raise DeadlineExceeded from error
            raise


def _content_length(scope: Scope) -> int:
    value: bytes = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not (value.isdigit() and len(value) < 20):
        raise InvalidInput("Content-Length is not a number")
    return int(value)
