"""The body of a chat-completions request as one vendor's model takes it."""

from typing import Any

import orjson

from actors.chat.providers import Shape
from actors.chat.wire import request_body
from voicehelper.ports.chat import ChatRequest

_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_JSON_ONLY = "Answer with one JSON object and nothing else."


def shaped_body(request: ChatRequest, shape: Shape, model: str) -> dict[str, Any]:
    """The whole body: what the model does not take is left out, renamed, or said in words."""
    body = request_body(request)
    _rename_max_tokens(body, shape)
    _limit_temperature(body, shape)
    if "response_format" in body:
        _shape_format(body, request, shape)
    for name in shape.drop:
        body.pop(name, None)
    if shape.options.enable_thinking is not None:
        body["enable_thinking"] = shape.options.enable_thinking
    return body | _STREAMED | shape.options.body | {"model": model}


def told_schema(request: ChatRequest) -> str:
    """The instruction for a model that cannot be constrained to the request's schema, or to JSON."""
    if request.json_schema is None:
        return _JSON_ONLY
    return f"{_JSON_ONLY} It conforms to this JSON schema:\n{orjson.dumps(request.json_schema).decode()}"


def _rename_max_tokens(body: dict[str, Any], shape: Shape) -> None:
    if shape.max_tokens_field != "max_tokens":
        body[shape.max_tokens_field] = body.pop("max_tokens")


def _limit_temperature(body: dict[str, Any], shape: Shape) -> None:
    if (value := body.get("temperature")) is not None:
        least, most = shape.provider.temperature
        body["temperature"] = min(max(value, least), most)


def _shape_format(body: dict[str, Any], request: ChatRequest, shape: Shape) -> None:
    wanted = body["response_format"]["type"]
    if wanted == "json_schema" and shape.schemas != "json_schema":
        _tell(body, told_schema(request))
        body["response_format"] = {"type": "json_object"}
    elif wanted == "json_object" and shape.provider.json_word and not _mentions_json(request):
        _tell(body, _JSON_ONLY)
    if shape.schemas == "none":
        del body["response_format"]


def _mentions_json(request: ChatRequest) -> bool:
    return any("json" in message.content.lower() for message in request.messages)


def _tell(body: dict[str, Any], words: str) -> None:
    """Say it at the end of the system prompt: two system messages are one too many for some servers."""
    first = body["messages"][0] if body["messages"] else None
    if first is not None and first["role"] == "system" and isinstance(first["content"], str):
        first["content"] = f"{first['content']}\n\n{words}"
    else:
        body["messages"].insert(0, {"role": "system", "content": words})
