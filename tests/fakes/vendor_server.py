"""A local HTTP/1.1 server for the wire formats of vendors: a real socket, connections kept, bodies chunked, and every
way to fail that a vendor has. What it answers is a behaviour; `replayed` answers with a recorded answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

RECORDINGS = Path(__file__).parents[1] / "data" / "vendors"


@dataclass
class Exchange:
    """One request as the server saw it, and the socket to answer on.

    `open` streams are chunked; answers with a `head` of one's own are as that says, and end with the connection.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter
    keep: bool = True
    answered: bool = False
    chunked: bool = False

    async def send(self, raw: str | bytes) -> None:
        """Bytes of the body."""
        data = raw.encode() if isinstance(raw, str) else raw
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        await self.writer.drain()

    async def head(self, status: int, headers: dict[str, str] | None = None) -> None:
        """Status and headers of an answer that ends with the connection."""
        self.answered, self.keep = True, False
        lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """A whole JSON answer."""
        data = json.dumps(body, ensure_ascii=False).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        await self._start(status, fields)
        await self.send(data)

    async def start_stream(self, headers: dict[str, str] | None = None) -> None:
        """Begin an event stream."""
        fields = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"} | (headers or {})
        await self._start(200, fields)
        self.chunked = True

    async def event(self, payload: Any, name: str = "") -> None:
        """One server-sent event."""
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        await self.send(f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n")

    def hang_up(self) -> None:
        """Reset the connection."""
        self.keep = False
        self.writer.transport.abort()

    async def end(self) -> None:
        """Called by the server when the behaviour is done."""
        if self.chunked and not self.writer.is_closing():
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.answered = True
        lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers.items())]
        await self.send("\r\n".join(lines) + "\r\n\r\n")


E = TypeVar("E", bound=Exchange)


@dataclass
class VendorServer(Generic[E]):
    """`behaviour` answers each request; `hung_up` is set when a client leaves mid-answer.

    Attributes:
        seen: all requests; switch `keep_seen` off under load.
        connections: opened so far.
    """

    behaviour: Callable[[E], Awaitable[None]]
    exchange: type[E]
    url: str = ""
    seen: list[E] = field(default_factory=list)
    keep_seen: bool = True
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        except asyncio.CancelledError:  # the server closes; asyncio logs a handler that ends so
            writer.transport.abort()
        finally:
            self.tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError:  # the client keeps no connection any more
            return False
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        exchange = self.exchange(method, path, headers, json.loads(raw) if raw else {}, writer)
        if self.keep_seen:
            self.seen.append(exchange)
        if isinstance(reader, _Reader):
            reader.left = lambda: self._left(writer)
        await self.behaviour(exchange)
        await exchange.end()
        if isinstance(reader, _Reader):
            reader.left = None
        return exchange.keep and not writer.is_closing()

    def _left(self, writer: asyncio.StreamWriter) -> None:
        self.hung_up.set()
        writer.transport.abort()


class _Reader(asyncio.StreamReader):
    """Tells at once that the client left, while nobody reads."""

    left: Callable[[], None] | None = None

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.left is not None:
            self.left()


@asynccontextmanager
async def vendor_server(server: VendorServer[E], path: str = "") -> AsyncIterator[VendorServer[E]]:
    """`server` on a free loopback port for the length of the block; its `url` ends with `path`."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: asyncio.StreamReaderProtocol(_Reader(), server.handle), "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}{path}"
    try:
        yield server
    finally:
        listener.close()
        tasks = list(server.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@dataclass(frozen=True)
class Recording:
    """An answer as it goes over the wire: `tests/data/vendors/PROVIDER/NAME.http`."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def load(cls, provider: str, name: str) -> "Recording":
        """Head, blank line, body, as in HTTP, with line feeds alone."""
        head, _, body = (RECORDINGS / provider / f"{name}.http").read_bytes().partition(b"\n\n")
        status, *lines = head.decode().split("\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(int(status.split(" ")[1]), headers, body)


def replayed(recording: Recording, piece: int = 0) -> Callable[[Exchange], Awaitable[None]]:
    """Answers with `recording`; streams in pieces of so many bytes, wherever that cuts them (0: event by event)."""

    async def behave(exchange: Exchange) -> None:
        if "event-stream" not in recording.headers.get("content-type", ""):
            await exchange._start(recording.status, {**recording.headers, "content-length": str(len(recording.body))})
            await exchange.send(recording.body)
            return
        await exchange.start_stream(recording.headers)
        for part in _parts(recording.body, piece):
            await exchange.send(part)
            await asyncio.sleep(0)

    return behave


def _parts(body: bytes, piece: int) -> list[bytes]:
    if piece:
        return [body[start : start + piece] for start in range(0, len(body), piece)]
    return [event + b"\n\n" for event in body.split(b"\n\n") if event]
