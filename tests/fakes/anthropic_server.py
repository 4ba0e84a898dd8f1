"""A local HTTP server that speaks Anthropic's Messages format over a real socket, well and badly on purpose."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import vendor_server

Behaviour = Callable[["Exchange"], Awaitable[None]]


class Exchange(vendor_server.Exchange):
    """One request, and the events of the answer, named as Anthropic names them."""

    block = -1

    async def error(self, status: int, kind: str, message: str = "no", headers: dict[str, str] | None = None) -> None:
        """An answer instead of a message."""
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
        await self.json(status, body, headers)

    async def start(self, input_tokens: int = 10, **usage: int) -> None:
        """`message_start`, and the `ping` that follows it."""
        await self.start_stream()
        used = {"input_tokens": input_tokens, "output_tokens": 1} | usage
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude"}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": used}
        await self.said("message_start", message=message)
        await self.ping()

    async def ping(self) -> None:
        await self.said("ping")

    async def text(self, *pieces: str) -> None:
        """A block of text."""
        await self.begin({"type": "text", "text": ""})
        for piece in pieces:
            await self.delta({"type": "text_delta", "text": piece})
        await self.finish_block()

    async def tool(self, call_id: str, name: str, *arguments: str) -> None:
        """A block that calls a tool."""
        await self.begin({"type": "tool_use", "id": call_id, "name": name, "input": {}})
        for piece in ("", *arguments):
            await self.delta({"type": "input_json_delta", "partial_json": piece})
        await self.finish_block()

    async def begin(self, block: dict[str, Any]) -> None:
        self.block += 1
        await self.said("content_block_start", index=self.block, content_block=block)

    async def delta(self, delta: dict[str, Any]) -> None:
        await self.said("content_block_delta", index=self.block, delta=delta)

    async def finish_block(self) -> None:
        await self.said("content_block_stop", index=self.block)

    async def stop(self, reason: str = "end_turn", output_tokens: int = 5, **usage: int) -> None:
        """`message_delta` and `message_stop`."""
        delta = {"stop_reason": reason, "stop_sequence": None}
        await self.said("message_delta", delta=delta, usage={"output_tokens": output_tokens} | usage)
        await self.said("message_stop")

    async def broken(self, kind: str = "overloaded_error", message: str = "Overloaded") -> None:
        """The `error` event, in the middle of a message."""
        await self.said("error", error={"type": kind, "message": message})

    async def said(self, name: str, **fields: Any) -> None:
        await self.event({"type": name, **fields}, name)


class AnthropicServer(vendor_server.VendorServer[Exchange]):
    """`url` is without /v1; `behaviour` answers each request, and may be exchanged at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(behaviour, Exchange)


@asynccontextmanager
async def anthropic_server(behaviour: Behaviour) -> AsyncIterator[AnthropicServer]:
    """A server on a free loopback port for the length of the block."""
    server = AnthropicServer(behaviour)
    async with vendor_server.vendor_server(server):
        yield server


@dataclass(frozen=True)
class Says:
    """A behaviour: the same text to everybody."""

    pieces: Sequence[str]
    reason: str = "end_turn"
    usage: dict[str, int] = field(default_factory=dict)

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.start(**self.usage)
        await exchange.text(*self.pieces)
        await exchange.stop(self.reason, len(self.pieces))
