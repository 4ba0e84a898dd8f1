"""Chat models: messages in, a stream of text out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "cancelled", "content_filter", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for; `arguments` is JSON as the model wrote it, perhaps broken."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may ask for; `parameters` is a JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn given to the model.

    Attributes:
        images: URLs (https: or data:) shown with `content`; for models that see.
        tool_calls: what an assistant's turn asked for.
        tool_call_id: which call a tool's turn answers.
        name: of the speaker, where the format has one.
    """

    role: Role
    content: str
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A completion to run.

    Attributes:
        messages: stable part first: engines reuse the longest common prefix of earlier requests.
        max_tokens: the most tokens to produce.
        temperature: 0 is greedy; None for the vendor's default.
        stop: strings that end the output (not part of it).
        json_schema: constrains the output to this JSON schema where the engine can.
        model: a named model; empty for the default of the port.
        schema_name: of `json_schema`.
        json_object: the output is to be some JSON object.
        tools: functions the model may ask for.
        tool_choice: `auto`, `none`, `required`, or `tool:NAME` for that one.
        parallel_tools: whether several calls may come at once; None for the vendor's default.
        top_p, seed, presence_penalty, frequency_penalty: sampling, None for the vendor's default.
        logprobs: how many alternatives to give for each token, 0 for only the token's own; None for none at all.
        user: an opaque name of the end user, for the vendor's abuse detection.
        feature: what of ours asks, for the ledger: `api`, `answer`, `summary`, `agent` ...
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 512
    temperature: float | None = 0.0
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    model: str = ""
    schema_name: str = "answer"
    json_object: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tools: bool | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None
    user: str = ""
    feature: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the output with its natural-log probability, and the likeliest others at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of the answer, never empty."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatToolDelta:
    """A piece of a tool call: the first of each `index` carries `id` and `name`, the arguments come in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Token counts; `cached_tokens` of the prompt were reused from an earlier request, `reasoning_tokens` of the
    completion were not shown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatAttempt:
    """One model that was tried, and how that ended: `answered`, `broken` (after its first piece), `skipped` (why in
    `reason`), or the failed call's error code."""

    model: str
    outcome: str
    reason: str = ""
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatRoute:
    """How a request came to its model, where a router chose it.

    Attributes:
        provider: of the model that answered.
        strategy: `cheapest`, `fastest`, `best_quality`, `named`.
        attempts: in order; the last one answered.
        experiment, variant: their names, empty outside an experiment.
        warnings: stable words: `budget_soft_limit`, `cheaper_model`, `fewer_tokens`, `continued_elsewhere`, `hedged`.
        cost_micros: micro-dollars of this call.
    """

    provider: str = ""
    strategy: str = ""
    attempts: tuple[ChatAttempt, ...] = ()
    experiment: str = ""
    variant: str = ""
    warnings: tuple[str, ...] = ()
    cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class ChatDone:
    """Always the last event of a stream that did not raise."""

    finish_reason: FinishReason
    usage: ChatUsage
    model: str
    route: ChatRoute | None = None


@dataclass(frozen=True, slots=True)
class ChatProgress:
    """A sign of life while nothing is said yet: the model reads the prompt, or works for those before this request."""


ChatEvent = ChatDelta | ChatToolDelta | ChatProgress | ChatDone


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

        Raises `InvalidInput` (`ContextTooLong` when the prompt does not fit), `ContentFiltered`, `ModelUnavailable`
        (`BrokenStream` after the first delta, `ModelSilent`), `Overloaded`, `DeadlineExceeded`.
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
