"""A local HTTP server that speaks the chat-completions wire format over a real socket, well and badly on purpose."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.fakes import vendor_server

Behaviour = Callable[["Exchange"], Awaitable[None]]


class Exchange(vendor_server.Exchange):
    """One request, and what OpenAI-compatible servers answer."""

    async def error(self, status: int, headers: dict[str, str] | None = None, **error: Any) -> None:
        await self.json(
            status, {"error": {"message": "no", "type": None, "param": None, "code": None} | error}, headers
        )

    async def data(self, payload: Any) -> None:
        await self.event(payload)

    async def delta(self, text: str | None, finish: str | None = None) -> None:
        delta = {} if text is None else {"content": text}
        await self.data(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}]))

    async def tool_call(self, index: int, call_id: str, name: str, *arguments: str) -> None:
        first = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        rest = ({"index": index, "function": {"arguments": piece}} for piece in arguments)
        for call in (first, *rest):
            await self.data(chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]))

    async def usage(self, prompt: int, completion: int, cached: int = 0) -> None:
        await self.data(chunk(choices=[], usage=_usage(prompt, completion, cached)))


def chunk(**fields: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with these fields."""
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "remote"} | fields


def _usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return usage | {"prompt_tokens_details": {"cached_tokens": cached}}


class OpenAIServer(vendor_server.VendorServer[Exchange]):
    """`url` ends with /v1; `behaviour` answers each request, and may be exchanged at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(behaviour, Exchange)


@asynccontextmanager
async def openai_server(behaviour: Behaviour) -> AsyncIterator[OpenAIServer]:
    """A server on a free loopback port for the length of the block."""
    server = OpenAIServer(behaviour)
    async with vendor_server.vendor_server(server, "/v1"):
        yield server


@dataclass(frozen=True)
class Speaks:
    """A behaviour: the same answer to everybody, made once; cheap enough for load.

    Attributes:
        pieces: of the text.
        together: everything in one write, instead of each piece in its own.
    """

    pieces: Sequence[str]
    prompt_tokens: int = 10
    finish: str = "stop"
    together: bool = False

    async def __call__(self, exchange: Exchange) -> None:
        if not exchange.body.get("stream"):
            return await exchange.json(200, self._whole())
        await exchange.start_stream()
        events = self._events()
        for part in [b"".join(events)] if self.together else events:
            await exchange.send(part)

    def _events(self) -> list[bytes]:
        choices = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
        choices += [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in self.pieces]
        choices += [{"index": 0, "delta": {}, "finish_reason": self.finish}]
        chunks = [chunk(choices=[choice]) for choice in choices]
        chunks.append(chunk(choices=[], usage=_usage(self.prompt_tokens, len(self.pieces))))
        return [f"data: {json.dumps(each, ensure_ascii=False)}\n\n".encode() for each in chunks] + [b"data: [DONE]\n\n"]

    def _whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.pieces)}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        usage = _usage(self.prompt_tokens, len(self.pieces))
        return {"id": "c1", "object": "chat.completion", "created": 1, "model": "remote"} | {
            "choices": [choice],
            "usage": usage,
        }
