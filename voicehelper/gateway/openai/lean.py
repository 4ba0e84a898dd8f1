"""Routes without what FastAPI does for others at every request: these are counted in microseconds.

The body is parsed once, by the model of the route; nothing is validated on its way out; one task watches for the
client's leaving, and cancels the work then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from voicehelper.context import current_context
from voicehelper.errors import UnsupportedType
from voicehelper.gateway.params import Permission
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal

Parsed = TypeVar("Parsed", bound=BaseModel)


class Call(Request):
    """A request whose body was read, and the way to answer it."""

    principal: Principal
    services: Services
    content: bytes

    def parse(self, kind: type[Parsed]) -> Parsed:
        """The body. Raises `RequestValidationError` as FastAPI does."""
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in problems]) from error

    async def reply(self, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Answer with JSON."""
        sent = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(headers or ())]
        await self._send({"type": "http.response.start", "status": 200, "headers": sent})
        await self._send({"type": "http.response.body", "body": body})

    @property
    def sender(self) -> Send:
        """ASGI's `send`."""
        return self._send

    @property
    def seconds_left(self) -> float | None:
        """Until the request's deadline."""
        return current_context().remaining()


class LeanRoute(APIRoute):
    """Documented and protected as any other; served by `endpoint(call)`, which answers the call itself."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        permission = next(d.call for d in self.dependant.dependencies if isinstance(d.call, Permission))
        self.app = _served(endpoint, permission)


def _served(endpoint: Callable[[Call], Coroutine[Any, Any, None]], permission: Permission) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        call.principal = await permission(call)
        call.services = scope["app"].state.services
        _require_json(scope)
        call.content = await _body(receive)
        async with _while_connected(receive):
            await endpoint(call)

    return app


def _require_json(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            if b"json" not in value:
                raise UnsupportedType("Send JSON")
            return


async def _body(receive: Receive) -> bytes:
    """The whole body; `BodyLimit` bounds it."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        return whole
    parts: list[bytes] = []
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


@asynccontextmanager
async def _while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client leaves (it then raises `ClientDisconnect`)."""
    task, left = asyncio.current_task(), False
    assert task is not None

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() <= 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
