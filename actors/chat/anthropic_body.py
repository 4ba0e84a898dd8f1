"""Anthropic's Messages format: our request as a body."""

from collections.abc import Iterator
from typing import Any

import orjson

from actors.chat.providers import Shape
from actors.chat.shaping import told_schema
from actors.chat.wire import plain
from voicehelper.errors import InvalidInput
from voicehelper.ports.chat import ChatMessage, ChatRequest, Tool, ToolCall

_NAMED_TOOL = "tool:"
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def messages_body(request: ChatRequest, shape: Shape, model: str) -> dict[str, Any]:
    """The whole body of a streamed message. Raises `InvalidInput` for a schema the vendor cannot be told."""
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _turns(request.messages),
        "stream": True,
    }
    if system := _system(request, shape):
        body["system"] = [{"type": "text", "text": system} | (_EPHEMERAL if shape.options.cache_prompt else {})]
    if stops := [text for text in request.stop if text.strip()]:  # blank ones are refused: see `blank_stops`
        body["stop_sequences"] = stops
    if request.user:
        body["metadata"] = {"user_id": request.user}
    body |= _sampling(request, shape) | _tools(request)
    if request.json_schema is not None:
        body |= _schema(request, shape)
    for name in shape.drop:
        body.pop(name, None)
    return body | shape.options.body


def blank_stops(request: ChatRequest) -> tuple[str, ...]:
    """The stop words that the vendor refuses, and that have to be looked for here."""
    return tuple(text for text in request.stop if text and not text.strip())


def answers_by_tool(request: ChatRequest, shape: Shape) -> bool:
    """Whether the JSON that was asked for comes as the arguments of a tool that was made up for it."""
    return request.json_schema is not None and shape.schemas == "tool"


def _sampling(request: ChatRequest, shape: Shape) -> dict[str, Any]:
    """One of temperature and top_p: newer models refuse both together."""
    if request.temperature is not None:
        least, most = shape.provider.temperature
        return {"temperature": min(max(request.temperature, least), most)}
    return {} if request.top_p is None else {"top_p": request.top_p}


def _system(request: ChatRequest, shape: Shape) -> str:
    parts = [plain(message.content) for message in request.messages if message.role == "system"]
    told = shape.schemas in ("json_object", "none") if request.json_schema is not None else request.json_object
    return "\n\n".join(part for part in (*parts, told_schema(request) if told else "") if part.strip())


def _schema(request: ChatRequest, shape: Shape) -> dict[str, Any]:
    assert request.json_schema is not None
    if shape.schemas == "tool":
        tool = {"name": request.schema_name, "input_schema": request.json_schema}
        return {"tools": [tool], "tool_choice": {"type": "tool", "name": request.schema_name}}
    if shape.schemas != "json_schema":
        return {}
    from anthropic import transform_schema  # noqa: PLC0415 - a second to import

    try:
        schema = transform_schema(request.json_schema)
    except (ValueError, TypeError, AttributeError) as error:  # what it raises for shapes that it does not know
        raise InvalidInput("The model cannot be held to this JSON schema") from error
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    name = request.tool_choice.removeprefix(_NAMED_TOOL)
    choice: dict[str, Any] = {"type": _CHOICES.get(name, "auto")}
    if name != request.tool_choice:
        choice = {"type": "tool", "name": name}
    if request.parallel_tools is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(tool) for tool in request.tools], "tool_choice": choice}


def _tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", "properties": {}} | tool.parameters}
    if tool.description:
        wire["description"] = tool.description
    if tool.strict:
        wire["strict"] = True
    return wire


def _turns(messages: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    """User and assistant by turns: neighbours of one role are one turn, as answers of several tools have to be."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not (blocks := list(_blocks(message))):
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()  # a beginning to be continued must not end with a blank
    return turns


def _blocks(message: ChatMessage) -> Iterator[dict[str, Any]]:
    text = plain(message.content)
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": text}
        return
    for url in message.images:
        yield {"type": "image", "source": _image(url)}
    if text.strip():
        yield {"type": "text", "text": text}
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call)}


def _image(url: str) -> dict[str, Any]:
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": head.removeprefix("data:").partition(";")[0], "data": data}


def _arguments(call: ToolCall) -> Any:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    return arguments if isinstance(arguments, dict) else {"arguments": plain(call.arguments)}
