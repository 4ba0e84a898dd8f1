"""A local HTTP server that speaks the chat-completions wire format over a real socket, well and badly on purpose."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as the server saw it, and the socket to answer on."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter

    async def send(self, raw: str | bytes) -> None:
        self.writer.write(raw.encode() if isinstance(raw, str) else raw)
        await self.writer.drain()

    async def head(self, status: int, headers: dict[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def error(self, status: int, headers: dict[str, str] | None = None, **error: Any) -> None:
        await self.head(status, {"Content-Type": "application/json"} | (headers or {}))
        await self.send(json.dumps({"error": {"message": "no", "type": None, "code": None} | error}))

    async def start_stream(self) -> None:
        await self.head(200, {"Content-Type": "text/event-stream"})

    async def data(self, payload: Any) -> None:
        await self.send(f"data: {payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)}\n\n")

    async def delta(self, text: str | None, finish: str | None = None) -> None:
        delta = {} if text is None else {"content": text}
        await self.data(_chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}]))

    async def usage(self, prompt: int, completion: int, cached: int = 0) -> None:
        details = {"cached_tokens": cached}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        await self.data(_chunk(choices=[], usage=usage | {"prompt_tokens_details": details}))


def _chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "remote"} | fields


@dataclass
class OpenAIServer:
    """`url` ends with /v1; `behaviour` answers each request; `hung_up` is set when a client leaves mid-answer."""

    behaviour: Behaviour
    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
            body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
            exchange = Exchange(head[0].split(" ")[1], headers, body, writer)
            self.seen.append(exchange)
            watch = asyncio.create_task(self._watch(reader))
            try:
                await self.behaviour(exchange)
            finally:
                watch.cancel()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        if await reader.read(1) == b"":
            self.hung_up.set()


@asynccontextmanager
async def openai_server(behaviour: Behaviour) -> AsyncIterator[OpenAIServer]:
    """A server on a free loopback port for the length of the block."""
    state = OpenAIServer(behaviour)
    server = await asyncio.start_server(state.handle, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()
