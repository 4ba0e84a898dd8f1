"""`/v1/realtime` and `/ws/voice` on a port of this machine: sessions over fakes, everybody with a token comes in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI

from voicehelper.errors import TokenRevoked
from voicehelper.gateway.credentials import credential_of
from voicehelper.gateway.middleware import Boundary
from voicehelper.gateway.routes import realtime, voice
from voicehelper.identity import Principal
from voicehelper.ids import new_id
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.session_fakes import FakeConversations, fake_parts


class FakeAuthenticator:
    """Any token stands for one user, until it is in `revoked`."""

    def __init__(self) -> None:
        self.tenant, self.user = new_id(), new_id()
        self.revoked: set[str] = set()

    async def authenticate(self, credential: str) -> Principal:
        if credential in self.revoked:
            raise TokenRevoked
        permissions = frozenset({"voice:talk"})
        return Principal(self.user, self.tenant, "member", permissions, session_id=new_id())


class _Authenticated:
    def __init__(self, app: Any, authenticator: FakeAuthenticator) -> None:
        self._app, self._authenticator = app, authenticator

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            principal = await self._authenticator.authenticate(credential_of(scope))
            scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)


class Served:
    """The server's parts and address (`host:port`)."""

    def __init__(self, calls: VoiceCalls, authenticator: FakeAuthenticator, address: str) -> None:
        self.calls, self.authenticator, self.address = calls, authenticator, address


@asynccontextmanager
async def served(**parts: Any) -> AsyncIterator[Served]:
    """Parts as of `session_fakes.fake_parts`."""
    calls, authenticator = VoiceCalls(fake_parts(**parts), FakeConversations()), FakeAuthenticator()
    app = FastAPI()
    app.state.services = SimpleNamespace(voice=calls, authenticator=authenticator)
    app.include_router(realtime.router)
    app.include_router(voice.router)
    app.add_middleware(_Authenticated, authenticator=authenticator)
    app.add_middleware(Boundary)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            host, port = listening.getsockname()
            yield Served(calls, authenticator, f"{host}:{port}")
        finally:
            server.should_exit = True
            await serving
