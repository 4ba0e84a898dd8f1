"""The whole application in this process, on real engines, and the quickest way to call it: no socket, no parser."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI

from deployments.services import gateway_services
from deployments.wiring import Nodes
from voicehelper.config import Settings
from voicehelper.gateway import create_app

ADMIN = "admin@voicehelper.local"
PASSWORD = "Zhun1-Bei2-Hao3"
NODES = ("rag", "retrieval", "embedder", "chat", "router", "stt", "tts", "indexer")
HUNG_S = 20.0


def settings_for(home: Path, postgres_dsn: str, redis_url: str, **changes: Any) -> Settings:
    """Everything in one process, fake models, no limits on how often one may ask or guess."""
    given: dict[str, Any] = {
        "home": home,
        "postgres_url": postgres_dsn,
        "redis_url": redis_url,
        "topology": dict.fromkeys(NODES, "inline"),
        "chat": {"backend": "fake"},
        "embedder": {"backend": "fake"},
        "stt": {"backend": "fake"},
        "tts": {"backend": "fake"},
        "limits": {"enabled": False},
        "identity": {"admin_email": ADMIN, "admin_password": PASSWORD, "lockout_failures": 10**6}
        | {"address_failures": 10**6},
        "telemetry": {"log_level": "CRITICAL"},
    }
    return Settings(**(given | changes))


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application as a gateway replica builds it, started; closed with the block."""
    nodes = Nodes(settings, {})
    try:
        app = create_app(await gateway_services(nodes))
        async with app.router.lifespan_context(app):
            yield app
    finally:
        await nodes.close()


@dataclass
class Reply:
    """A response. `status` 0: none came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> int:
        """Of our error body; 0 where there is none."""
        try:
            found = self.json()
        except ValueError:
            return 0
        return found.get("code", 0) if isinstance(found, dict) and self.status >= 400 else 0


@dataclass(frozen=True)
class Upload:
    """A file as the part `file` of a multipart body."""

    name: str
    content: bytes
    content_type: str = "text/markdown"


@dataclass
class Direct:
    """Calls an ASGI application on the running loop."""

    app: Any

    async def call(
        self,
        method: str,
        path: str,
        token: str = "",
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> Reply:
        """One request; `body` is JSON-ready, an `Upload`, or None. A crash of the application raises here."""
        content, content_type = _encode(body)
        wire = {"host": "test", **({"content-type": content_type} if content_type else {}), **(headers or {})}
        if token:
            wire.setdefault("authorization", f"Bearer {token}")
        scope = _scope("http", path, query or {}, wire) | {"method": method, "http_version": "1.1", "scheme": "http"}
        exchange = _Exchange(content)
        try:
            async with asyncio.timeout(HUNG_S):
                await self.app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            exchange.reply.status = 0
        finally:
            exchange.over.set()
        return exchange.reply

    async def socket(self, path: str, token: str, wait_s: float = 0.3) -> tuple[int, bytes]:
        """Connect a WebSocket; the close code (0: it stayed open) and the bytes of all frames of the first moments."""
        scope = _scope("websocket", path, {}, {"host": "test", "authorization": f"Bearer {token}"})
        scope |= {"scheme": "ws", "subprotocols": [], "http_version": "1.1"}
        socket = _Socket()
        task = asyncio.create_task(self.app(scope, socket.receive, socket.send))
        try:
            await asyncio.wait({task, wait := asyncio.create_task(socket.closed.wait())}, timeout=wait_s)
            wait.cancel()
        finally:
            socket.leave.set()
            _, late = await asyncio.wait({task}, timeout=5)
            for left in late:
                left.cancel()
        return socket.code, socket.frames


class _Exchange:
    """Both ends of one request."""

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content
        self.reply = Reply()
        self.over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.reply.status = message["status"]
            self.reply.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            self.reply.body += message.get("body", b"")


class _Socket:
    """The client's end of a WebSocket."""

    def __init__(self) -> None:
        self.code = 0
        self.frames = b""
        self.closed, self.leave = asyncio.Event(), asyncio.Event()
        self._connected = False

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await self.leave.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
            self.closed.set()
        elif message["type"] == "websocket.send":
            self.frames += (message.get("text") or "").encode() + (message.get("bytes") or b"")


def _scope(kind: str, path: str, query: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": urlencode(query).encode(),
        "root_path": "",
        "server": ("test", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
    }


def _encode(body: object) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, Upload):
        head = (
            f'Content-Disposition: form-data; name="file"; filename="{body.name}"\r\nContent-Type: {body.content_type}'
        )
        return f"--b0\r\n{head}\r\n\r\n".encode() + body.content + b"\r\n--b0--\r\n", "multipart/form-data; boundary=b0"
    return json.dumps(body).encode(), "application/json"
