"""The OpenAI chat-completions format, as far as its speakers share it: our request as a body, their chunks as ours.

A stream has hundreds of chunks, so they are read by hand from parsed JSON: a validating model of each costs ten times
as much. What a chunk lacks, or has as null, is empty; what has the wrong type is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from actors.chat.strict_schema import is_strict
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import (
    ChatMessage,
    ChatRequest,
    ChatToolDelta,
    ChatUsage,
    FinishReason,
    TokenLogprob,
    Tool,
    ToolCall,
)

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_NAMED_TOOL = "tool:"
_SAMPLING = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")


def request_body(request: ChatRequest) -> dict[str, Any]:
    """The JSON body of a completion (without the model's name and the wish to stream).

    A message's content is a string, or a list of parts where the message has images.
    """
    body: dict[str, Any] = {
        "messages": [_message(message) for message in request.messages],
        "max_tokens": request.max_tokens,
    }
    for name in _SAMPLING:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.stop:
        body["stop"] = list(request.stop)
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.user:
        body["user"] = request.user
    return body | _format(request) | _tools(request)


def _format(request: ChatRequest) -> dict[str, Any]:
    if request.json_schema is not None:
        strict = is_strict(request.json_schema)
        schema = {"name": request.schema_name, "schema": request.json_schema, "strict": strict}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"response_format": {"type": "json_object"}} if request.json_object else {}


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice.startswith(_NAMED_TOOL):
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.removeprefix(_NAMED_TOOL)}}
    elif choice != "auto":
        fields["tool_choice"] = choice
    if request.parallel_tools is not None:
        fields["parallel_tool_calls"] = request.parallel_tools
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
    }
    if tool.description:
        function["description"] = tool.description
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _message(message: ChatMessage) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        wire["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    if message.name:
        wire["name"] = message.name
    return wire


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    text = plain(message.content)
    if not message.images:
        return text
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": url}} for url in message.images]


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": plain(call.arguments)}}


def plain(text: str) -> str:
    """`text` without lone surrogates, which JSON in UTF-8 cannot carry."""
    return text if text.isascii() else text.encode(errors="replace").decode()


@dataclass(slots=True)
class Chunk:
    """What one streamed chunk says; fields it does not mention are empty.

    Attributes:
        progress: the model is at work on something that is not shown: its prompt, or its reasoning.
        refused: the model declines to answer.
        raw_finish: the vendor's own word for `finish`.
        error: the error object that came in a chunk's place.
    """

    text: str = ""
    finish: FinishReason | None = None
    usage: ChatUsage | None = None
    progress: bool = False
    tools: Sequence[ChatToolDelta] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    refused: bool = False
    raw_finish: str = ""
    error: Mapping[str, Any] | None = None


def read_chunk(raw: str | bytes | Mapping[str, Any]) -> Chunk:
    """Read a `chat.completion.chunk`, as JSON or parsed. Raises `ModelUnavailable` when it is not one."""
    try:
        return _read(orjson.loads(raw) if isinstance(raw, str | bytes) else raw)
    except (ValueError, TypeError, AttributeError, KeyError, LookupError) as error:
        raise ModelUnavailable("The model server sent something that is not a completion") from error


def _read(wire: Mapping[str, Any]) -> Chunk:
    chunk = Chunk()
    if choices := wire.get("choices"):
        _read_choice(chunk, choices[0])
    if usage := wire.get("usage"):
        chunk.usage = _usage(usage)
    if "error" in wire or wire.get("object") == "error":
        chunk.error = wire.get("error") or wire
    if "prompt_progress" in wire:  # llama.cpp's, where `return_progress` is asked for
        chunk.progress = True
    return chunk


def _read_choice(chunk: Chunk, choice: Mapping[str, Any]) -> None:
    if reason := choice.get("finish_reason"):
        chunk.finish, chunk.raw_finish = _FINISH.get(reason, "stop"), reason
    if logprobs := choice.get("logprobs"):
        chunk.logprobs = tuple(_logprob(item) for item in logprobs.get("content") or ())
    delta = choice.get("delta") or choice.get("message")  # a whole answer, of servers that do not stream
    if not delta:
        return
    if text := delta.get("content"):
        if not isinstance(text, str):
            raise TypeError("content")
        chunk.text = text
    if calls := delta.get("tool_calls"):
        chunk.tools = [_tool_delta(at, call) for at, call in enumerate(calls)]
    if delta.get("reasoning_content") or delta.get("reasoning"):
        chunk.progress = True
    if delta.get("refusal"):
        chunk.refused = True


def _tool_delta(at: int, call: Mapping[str, Any]) -> ChatToolDelta:
    function = call.get("function") or {}
    index = call.get("index")
    arguments = function.get("arguments") or ""
    if not isinstance(arguments, str):  # some servers parse them for us
        arguments = orjson.dumps(arguments).decode()
    return ChatToolDelta(at if index is None else index, call.get("id") or "", function.get("name") or "", arguments)


def _logprob(item: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((other["token"], other["logprob"]) for other in item.get("top_logprobs") or ())
    return TokenLogprob(item["token"], item["logprob"], top)


def _usage(usage: Mapping[str, Any]) -> ChatUsage:
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return ChatUsage(
        usage.get("prompt_tokens") or 0,
        usage.get("completion_tokens") or 0,
        prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,
        completion.get("reasoning_tokens") or 0,
    )
