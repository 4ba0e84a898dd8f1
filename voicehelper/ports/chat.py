"""Chat models: messages in, a stream of text out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled", "content_filter"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn given to the model."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A completion to run.

    Attributes:
        messages: stable part first: engines reuse the longest common prefix of earlier requests.
        max_tokens: the most tokens to produce.
        temperature: 0 is greedy.
        stop: strings that end the output (not part of it).
        json_schema: constrains the output to this JSON schema where the engine can.
        model: a named model; empty for the default of the port.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 512
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of the answer, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Token counts; `cached_tokens` of the prompt were reused from an earlier request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatDone:
    """Always the last event of a stream that did not raise."""

    finish_reason: FinishReason
    usage: ChatUsage
    model: str


@dataclass(frozen=True, slots=True)
class ChatProgress:
    """A sign of life while nothing is said yet: the model reads the prompt, or works for those before this request."""


ChatEvent = ChatDelta | ChatProgress | ChatDone


@dataclass(frozen=True, slots=True)
class ChatModelInfo:
    """The model behind a port; `context_tokens` is what one request may use, prompt and output together."""

    model: str
    context_tokens: int
    provider: str


class ChatModel(Protocol):
    """Streams completions."""

    async def describe(self) -> ChatModelInfo:
        """The default model behind this port."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Deltas as they are produced, then one `ChatDone`. An async generator: closing it stops the model. Before the
        first delta, backends that know that they are at work say so (`ChatProgress`) every few seconds.

        Raises `InvalidInput` when the prompt does not fit the context, `ModelUnavailable`, `Overloaded`.
        """
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; an estimate where the provider has no tokenizer to ask."""
        ...


@dataclass
class FakeChatModel:
    """Plays back `reply` (or what `script` says for a request) in pieces; keeps every request it got."""

    reply: str = "好的。"
    script: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    requests: list[ChatRequest] = field(default_factory=list)
    cancelled: int = 0

    async def describe(self) -> ChatModelInfo:
        """A made-up model."""
        return ChatModelInfo("fake-chat", 4096, "fake")

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """The scripted text, two characters at a time."""
        self.requests.append(request)
        last = request.messages[-1].content
        text = next((reply for key, reply in self.script.items() if key in last), self.reply)
        try:
            for start in range(0, len(text), 2):
                if self.delay:
                    await asyncio.sleep(self.delay)
                yield ChatDelta(text[start : start + 2])
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise
        prompt = sum(len(message.content) for message in request.messages)
        yield ChatDone("stop", ChatUsage(prompt, len(text)), "fake-chat")

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One token a character."""
        return [len(text) for text in texts]
