"""An upstream of the proof as a process: OpenAI's wire format over real sockets, well and badly as it is told.

    python -m tests.prove.router_upstream NAME PORT

`POST /control` with `{"mode": ..., "delay": seconds}` says how it behaves from now on; `POST /count` how many
completions were asked of it, and how many it answered whole; probes (of one token) are counted apart. Every answer
costs 10 prompt and 16 completion tokens.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_server import Exchange, OpenAIServer

PROMPT_TOKENS, COMPLETION_TOKENS = 10, 16
_CHAOS = ("429", "ok", "500", "break_first", "ok", "hang_up", "break_after", "ok")


class HungUp(ConnectionError):
    """The connection is to be dropped."""


@dataclass
class Upstream:
    """What one upstream does."""

    name: str
    mode: str = "ok"
    delay: float = 0.0
    asked: int = 0
    answered: int = 0
    probed: int = 0

    async def behave(self, exchange: Exchange) -> None:
        """One request."""
        if exchange.path.endswith("/control"):
            self.mode = exchange.body.get("mode", self.mode)
            self.delay = exchange.body.get("delay", self.delay)
            await _json(exchange, {})
        elif exchange.path.endswith("/count"):
            await _json(exchange, {"asked": self.asked, "answered": self.answered, "probed": self.probed})
        else:
            await self._complete(exchange)

    async def _complete(self, exchange: Exchange) -> None:
        mode = _CHAOS[self.asked % len(_CHAOS)] if self.mode == "chaos" else self.mode
        if exchange.body["max_tokens"] == 1:
            self.probed += 1
        else:
            self.asked += 1
        await asyncio.sleep(self.delay)
        await _MODES[mode](self, exchange)

    def words(self) -> list[str]:
        """What it says: its name, so that an answer tells who gave it."""
        return [f"I am {self.name}. ", "One ", "two ", "three."]


async def _ok(upstream: Upstream, exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.data(_chunk(upstream, {"role": "assistant", "content": ""}))
    finish = "stop"
    if _tool_of(exchange.body):
        finish = "tool_calls"
        for delta in _tool_deltas(_tool_of(exchange.body)):
            await exchange.data(_chunk(upstream, delta))
    else:
        for word in _said(upstream, exchange.body):
            await exchange.data(_chunk(upstream, {"content": word}))
    await exchange.data(_chunk(upstream, {}, finish))
    await exchange.usage(PROMPT_TOKENS, COMPLETION_TOKENS)
    await exchange.data("[DONE]")
    upstream.answered += 1


def _said(upstream: Upstream, body: dict[str, Any]) -> list[str]:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema:
        return [json.dumps(dict.fromkeys(schema.get("properties", {}), upstream.name))]
    last = body["messages"][-1]
    return [f"The tool said {last['content']}."] if last["role"] == "tool" else upstream.words()


def _tool_of(body: dict[str, Any]) -> str:
    """The first tool, where it is to be called."""
    if not body.get("tools") or body["messages"][-1]["role"] == "tool":
        return ""
    return str(body["tools"][0]["function"]["name"])


def _tool_deltas(name: str) -> list[dict[str, Any]]:
    """A call as OpenAI streams one: who, then its arguments in pieces."""
    pieces = [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}]
    pieces += [{"function": {"arguments": part}} for part in ('{"city": ', '"Hangzhou"}')]
    return [{"tool_calls": [{"index": 0, **piece}]} for piece in pieces]


async def _rate_limited(_: Upstream, exchange: Exchange) -> None:
    await exchange.error(429, {"Retry-After": "1"}, type="rate_limit_error", code="rate_limit_exceeded")


async def _failing(_: Upstream, exchange: Exchange) -> None:
    await exchange.error(500, type="server_error")


async def _hang_up(_: Upstream, __: Exchange) -> None:
    raise HungUp


async def _break_first(upstream: Upstream, exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.data(_chunk(upstream, {"role": "assistant", "content": ""}))
    raise HungUp


async def _break_after(upstream: Upstream, exchange: Exchange) -> None:
    await exchange.start_stream()
    for word in upstream.words()[:3]:
        await exchange.data(_chunk(upstream, {"content": word}))
    raise HungUp


async def _silent(_: Upstream, __: Exchange) -> None:
    await asyncio.Event().wait()


_MODES: dict[str, Callable[[Upstream, Exchange], Awaitable[None]]] = {
    "ok": _ok,
    "429": _rate_limited,
    "500": _failing,
    "hang_up": _hang_up,
    "break_first": _break_first,
    "break_after": _break_after,
    "silent": _silent,
}


def _chunk(upstream: Upstream, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": upstream.name,
        "choices": [choice],
    }


async def _json(exchange: Exchange, body: Any) -> None:
    content = json.dumps(body)
    await exchange.head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
    await exchange.send(content)


async def serve(name: str, port: int) -> None:
    """Until the process ends."""
    state = OpenAIServer(Upstream(name).behave)
    server = await asyncio.start_server(state.handle, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
