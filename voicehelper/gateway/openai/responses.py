"""`/v1/responses`: the newer form of chat, with nothing kept between calls."""

from voicehelper.gateway.openai import response_objects as objects
from voicehelper.gateway.openai.chat import whole_of
from voicehelper.gateway.openai.events import Whole, route_headers
from voicehelper.gateway.openai.frames import dumps, new_id
from voicehelper.gateway.openai.lean import Call
from voicehelper.gateway.openai.requests import FEATURE, image_url
from voicehelper.gateway.openai.response_frames import ResponseFrames
from voicehelper.gateway.openai.sources import answer
from voicehelper.gateway.openai.streaming import stream
from voicehelper.ports.chat import ChatMessage, ChatRequest, Tool, ToolCall
from voicehelper.wire.openai_responses import (
    InputCall,
    InputCallOutput,
    InputImage,
    InputItem,
    InputMessage,
    InputPart,
    InputRefusal,
    InputText,
    ResponseCreate,
    ResponseTool,
)


async def response(call: Call) -> None:
    """Answer with a response."""
    body = call.parse(ResponseCreate)
    events = answer(call, response_request(body), body.max_output_tokens)
    if body.stream:
        await stream(call, events, ResponseFrames(body))
        return
    whole = await whole_of(call, events)
    made = objects.ended(objects.begun(body), _output(whole), whole.done, whole.grounded)
    await call.reply(dumps(made), route_headers(whole.done))


def response_request(body: ResponseCreate) -> ChatRequest:
    """The port's request. Raises `InvalidInput`."""
    given = [ChatMessage("system", body.instructions)] if body.instructions else []
    given += [ChatMessage("user", body.input)] if isinstance(body.input, str) else _messages(body.input)
    form = body.text.format if body.text else None
    choice = body.tool_choice
    return ChatRequest(
        messages=tuple(given),
        model=body.model,
        temperature=body.temperature,
        top_p=body.top_p,
        json_schema=form.schema_ if form is not None and form.type == "json_schema" else None,
        json_object=form is not None and form.type == "json_object",
        schema_name=(form.name if form is not None else None) or "answer",
        tools=tuple([_tool(tool) for tool in body.tools or ()]),
        tool_choice=choice if isinstance(choice, str) else f"tool:{choice.name}" if choice is not None else "auto",
        parallel_tools=body.parallel_tool_calls,
        user=body.user or "",
        feature=FEATURE,
    )


def _messages(items: list[InputItem]) -> list[ChatMessage]:
    """Calls that follow each other were asked for in one turn."""
    found: list[ChatMessage] = []
    calls: list[ToolCall] = []
    for item in items:
        if isinstance(item, InputCall):
            calls.append(ToolCall(item.call_id, item.name, item.arguments))
            continue
        if calls:
            found.append(ChatMessage("assistant", "", tool_calls=tuple(calls)))
            calls = []
        if isinstance(item, InputCallOutput):
            found.append(ChatMessage("tool", _text(item.output), tool_call_id=item.call_id))
        elif isinstance(item, InputMessage):
            found.append(_message(item))
    return found + ([ChatMessage("assistant", "", tool_calls=tuple(calls))] if calls else [])


def _message(item: InputMessage) -> ChatMessage:
    role = "system" if item.role == "developer" else item.role
    parts = item.content if isinstance(item.content, list) else []
    images = tuple([image_url(part.image_url, "input") for part in parts if isinstance(part, InputImage)])
    return ChatMessage(role, _text(item.content), images)


def _text(content: str | list[InputPart]) -> str:
    if isinstance(content, str):
        return content
    texts = [part.text for part in content if isinstance(part, InputText)]
    return "\n".join(texts + [part.refusal for part in content if isinstance(part, InputRefusal)])


def _tool(tool: ResponseTool) -> Tool:
    return Tool(tool.name, tool.description or "", tool.parameters or {}, bool(tool.strict))


def _output(whole: Whole) -> list[objects.Json]:
    found: list[objects.Json] = []
    if whole.text or not whole.calls:
        part = objects.output_text(whole.text, whole.grounded)
        found.append(objects.message(new_id("msg_"), "completed", [part]))
    for each in whole.calls:
        found.append(objects.function_call(new_id("fc_"), "completed", each.id, each.name, each.arguments))
    return found
