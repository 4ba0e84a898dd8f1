"""The OpenAI chat-completions format, as far as both backends speak it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import ChatRequest, ChatUsage, FinishReason

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


def request_body(request: ChatRequest) -> dict[str, Any]:
    """The JSON body of a completion (without the model's name and the wish to stream)."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": _text(message.content)} for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _text(content: str) -> str:
    """`content` without lone surrogates, which JSON in UTF-8 cannot carry."""
    return content.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one streamed chunk says; fields it does not mention are empty."""

    text: str = ""
    finish: FinishReason | None = None
    usage: ChatUsage | None = None
    progress: bool = False


def read_chunk(raw: str | bytes | Mapping[str, Any]) -> Chunk:
    """Read a `chat.completion.chunk`, as JSON or parsed. Raises `ModelUnavailable` when it is not one."""
    try:
        wire = _Wire.model_validate_json(raw) if isinstance(raw, str | bytes) else _Wire.model_validate(raw)
    except ValidationError as error:
        raise ModelUnavailable("The model server sent something that is not a completion") from error
    choice = wire.choices[0] if wire.choices else _Choice()
    finish = _FINISH.get(choice.finish_reason, "stop") if choice.finish_reason else None
    text = choice.delta.content if choice.delta else None
    usage = wire.usage.to_port() if wire.usage else None
    return Chunk(text or "", finish, usage, wire.prompt_progress is not None)


# Servers differ in what they leave out, send as null or add: everything is optional, the unknown is ignored.
class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    def to_port(self) -> ChatUsage:
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        return ChatUsage(self.prompt_tokens or 0, self.completion_tokens or 0, cached or 0)


class _Wire(BaseModel):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    prompt_progress: dict[str, Any] | None = None  # llama.cpp's, where `return_progress` is asked for
