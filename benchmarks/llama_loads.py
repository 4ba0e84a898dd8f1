"""What bench_llama_stack asks of the stack and of the bare engine: requests, and what came of each."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson

from actors.chat.engine import LlamaEngine
from actors.chat.wire import read_chunk
from voicehelper.config import ChatSettings

_RULES = "你是商城的客服，回答要简短、准确、有礼貌。" + "".join(
    f"第{n}条：商品签收后{n}日内可以申请退货，商品应保持完好，运费由买家承担。" for n in range(3, 9)
)
_LONG = "第{n}条：商品签收后{n}日内可以申请退货，商品应保持完好，运费由买家承担，退款在{n}个工作日内原路退回。"
_number = itertools.count(1000, 7)


@dataclass
class Answer:
    """Seconds from the request to each piece of text, and to the end; tokens by the engine's own count."""

    at: list[float] = field(default_factory=list)
    whole: float = 0.0
    prompt: int = 0
    cached: int = 0
    tokens: int = 0

    @property
    def first(self) -> float:
        """To the first token."""
        return self.at[0] if self.at else self.whole


class Side(Protocol):
    """One of the two that are compared."""

    name: str

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Ask now, and read the answer to its end."""
        ...


def short(tokens: int) -> dict[str, Any]:
    """Beginning as all short ones do, with some 30 tokens of its own."""
    task = f"工单 {next(_number)}：请从一数到一百，一个一个地写，用顿号隔开，不要停，也不要解释。"
    return _body([{"role": "system", "content": _RULES}, {"role": "user", "content": task}], tokens)


def long(tokens: int = 4) -> dict[str, Any]:
    """Some 1500 tokens that no other request begins with."""
    number = next(_number)
    text = "".join(_LONG.format(n=number + line) for line in range(35))
    return _body([{"role": "user", "content": f"{number}：{text}"}], tokens)


def _body(messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
    return {"messages": messages, "max_tokens": tokens, "temperature": 0}


class Stack:
    """`POST /v1/chat/completions`, streamed, of a running installation."""

    name = "stack"

    def __init__(self, api: httpx.Client, model: str) -> None:
        self._model = model
        self._client = httpx.AsyncClient(base_url=api.base_url, headers=api.headers, timeout=600)

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Ask now, and read the answer to its end."""
        answer, started = Answer(), time.perf_counter()
        asked = body | {"model": self._model, "stream": True, "stream_options": {"include_usage": True}}
        async with self._client.stream("POST", "/v1/chat/completions", json=asked) as response:
            if response.is_error:
                raise SystemExit(f"The stack refuses: {(await response.aread()).decode()}")
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    _take(answer, line.removeprefix("data: "), time.perf_counter() - started)
        answer.whole = time.perf_counter() - started
        return answer


class Bare:
    """llama.cpp with the same settings, its own queue and its own choice of slots, and nothing around it."""

    name = "bare engine"

    def __init__(self, path: Path, chat: ChatSettings, threads: int) -> None:
        self._engine = LlamaEngine(
            path, context_tokens=chat.context_tokens, parallel=chat.parallel, threads=chat.threads or threads
        )
        self._threads = ThreadPoolExecutor(32)

    async def ask(self, body: dict[str, Any]) -> Answer:
        """Ask now, and read the answer to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, body)

    def close(self) -> None:
        """Unload."""
        self._threads.shutdown()
        self._engine.close()

    def _ask(self, body: dict[str, Any]) -> Answer:
        answer, started = Answer(), time.perf_counter()
        asked = body | {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": True}

        def on_chunk(raw: str) -> bool:
            _take(answer, raw, time.perf_counter() - started)
            return False

        self._engine.complete(orjson.dumps(asked).decode(), on_chunk)
        answer.whole = time.perf_counter() - started
        return answer


def _take(answer: Answer, raw: str, at: float) -> None:
    chunk = read_chunk(json.loads(raw))
    if chunk.text:
        answer.at.append(at)
    if chunk.usage:
        answer.prompt, answer.tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        answer.cached = chunk.usage.cached_tokens


async def together(side: Side, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
    """All at once."""
    return list(await asyncio.gather(*(side.ask(body) for body in bodies)))


async def later(side: Side, make: Callable[[], dict[str, Any]], delay_s: float) -> Answer:
    """One that comes `delay_s` from now."""
    await asyncio.sleep(delay_s)
    return await side.ask(make())
