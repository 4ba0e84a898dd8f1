"""A vLLM engine as a chat model: its server object takes OpenAI's request and gives OpenAI's events as text."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from actors.chat.complaints import complaint, meaning
from actors.chat.usage import StreamMeter
from actors.chat.wire import Chunk, read_chunk, request_body
from voicehelper.context import current_context
from voicehelper.errors import BrokenStream, DeadlineExceeded, ModelUnavailable
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatModelInfo,
    ChatProgress,
    ChatRequest,
    ChatUsage,
    FinishReason,
)

Ask = Callable[[dict[str, Any]], Awaitable[AsyncIterator[Any]]]
"""Starts a completion: the body of a chat-completions request in; out come lists of server-sent events as text, and
objects with `model_dump` that hold an error."""

_DATA, _END = "data:", "[DONE]"


class VllmChat:
    """Streams from `ask`.

    Duties: translate requests and events, join what came together into one piece, raise the engine's errors as ours.
    Requests beyond what the engine decodes at once wait in the engine.

    Args:
        ask: see `Ask`.
        info: the served model. A request may name an adapter of it in `model`.
    """

    def __init__(self, ask: Ask, info: ChatModelInfo) -> None:
        self._ask = ask
        self._info = info

    async def describe(self) -> ChatModelInfo:
        """The served model."""
        return self._info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates: nothing that is asked for them needs to be exact, and the engine is busy."""
        return [estimate_tokens(text) for text in texts]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. Closing the generator, or running out of time, aborts the engine's request."""
        model = request.model or self._info.model
        body = request_body(request) | {"model": model, "stream": True, "stream_options": {"include_usage": True}}
        answer = _Answer(model, StreamMeter(self._info.model))
        try:
            async with asyncio.timeout(current_context().remaining()), aclosing(_stream(self._ask, body)) as pieces:
                async for chunks in pieces:
                    for event in answer.take(chunks):
                        yield event
        except TimeoutError as error:
            raise DeadlineExceeded("Out of time while the model answered") from error
        yield answer.end()


@dataclass
class _Answer:
    """What has come of one answer."""

    model: str
    meter: StreamMeter
    finish: FinishReason | None = None
    usage: ChatUsage = field(default_factory=ChatUsage)

    def take(self, chunks: Iterable[Chunk]) -> list[ChatEvent]:
        """The events of chunks that came together, with neighbouring text joined."""
        events: list[ChatEvent] = []
        for chunk in chunks:
            self.finish, self.usage = chunk.finish or self.finish, chunk.usage or self.usage
            if chunk.error is not None:
                raise meaning(complaint(0, chunk.error))
            events += chunk.tools
            if chunk.text:
                self.meter.text()
                _join(events, ChatDelta(chunk.text, chunk.logprobs))
            elif chunk.progress and not events:
                events.append(ChatProgress())
        return events

    def end(self) -> ChatDone:
        """The last event. Raises `BrokenStream`, or `ModelUnavailable` where nothing had come."""
        if self.finish is None:
            raise BrokenStream() if self.meter.speaking else ModelUnavailable("The model server broke off")
        self.meter.done(self.usage)
        return ChatDone(self.finish, self.usage, self.model)


def _join(events: list[ChatEvent], delta: ChatDelta) -> None:
    last = events[-1] if events else None
    if isinstance(last, ChatDelta):
        events[-1] = ChatDelta(last.text + delta.text, last.logprobs + delta.logprobs)
    else:
        events.append(delta)


async def _stream(ask: Ask, body: dict[str, Any]) -> AsyncGenerator[list[Chunk], None]:
    """Chunks as they came together."""
    answer = await ask(body)
    try:
        async for batch in answer:
            yield [chunk for item in _items(batch) for chunk in _chunks(item)]
    finally:
        close = getattr(answer, "aclose", None)
        if close is not None:
            await close()


def _items(batch: Any) -> Sequence[Any]:
    return batch if isinstance(batch, list) else [batch]


def _chunks(item: Any) -> list[Chunk]:
    """What one item says; events are never cut in two. Raises the engine's complaint as our error."""
    if not isinstance(item, str):
        body = item.model_dump()
        raise meaning(complaint(0, body.get("error") or body))
    payloads = [line[len(_DATA) :].strip() for line in item.splitlines() if line.startswith(_DATA)]
    return [read_chunk(payload) for payload in payloads if payload and payload != _END]
