"""From OpenAI's bodies to the port's request."""

from typing import Any

from voicehelper.errors import InvalidInput
from voicehelper.ports.chat import ChatMessage, ChatRequest, Role, Tool, ToolCall
from voicehelper.wire.openai_chat import (
    ChatCompletionCreate,
    CompletionCreate,
    FunctionTool,
    ImagePart,
    Message,
    NamedToolChoice,
    Sampling,
    TextPart,
)

FEATURE = "api"
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_IMAGES = ("https://", "data:image/")


def chat_request(body: ChatCompletionCreate) -> ChatRequest:
    """Of a chat completion. Raises `InvalidInput`."""
    form, choice = body.response_format, body.tool_choice
    named = form.json_schema if form is not None else None
    return ChatRequest(
        messages=tuple([_message(message) for message in body.messages]),
        json_schema=named.schema_ if named is not None else None,
        json_object=form is not None and form.type != "text" and (named is None or named.schema_ is None),
        schema_name=named.name if named is not None else "answer",
        tools=tuple([_tool(tool) for tool in body.tools]) if body.tools else (),
        tool_choice=f"tool:{choice.function.name}" if isinstance(choice, NamedToolChoice) else choice or "auto",
        parallel_tools=body.parallel_tool_calls,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        **_sampling(body),
    )


def completion_request(body: CompletionCreate) -> ChatRequest:
    """Of a text completion."""
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    return ChatRequest(messages=(ChatMessage("user", prompt),), logprobs=body.logprobs, **_sampling(body))


def _sampling(body: Sampling) -> dict[str, Any]:
    return {
        "model": body.model,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "seed": body.seed,
        "stop": (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        "user": body.user or "",
        "feature": FEATURE,
    }


def _message(message: Message) -> ChatMessage:
    content = message.content
    if type(content) is str and message.tool_calls is None and message.tool_call_id is None:
        return ChatMessage(_ROLES[message.role], content, name=message.name or "")
    parts = content if isinstance(content, list) else ()
    text = content if isinstance(content, str) else "\n".join([p.text for p in parts if isinstance(p, TextPart)])
    return ChatMessage(
        _ROLES[message.role],
        text,
        tuple([image_url(part.image_url.url, "messages") for part in parts if isinstance(part, ImagePart)]),
        tuple([ToolCall(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()]),
        message.tool_call_id or "",
        message.name or "",
    )


def image_url(url: str, param: str) -> str:
    """`url`, if a model may be sent there. Raises `InvalidInput`: nothing but web pages and pictures in the request."""
    if not url.startswith(_IMAGES):
        raise InvalidInput("A picture is given by an https: or data:image/ URL", {"param": param})
    return url


def _tool(tool: FunctionTool) -> Tool:
    function = tool.function
    return Tool(function.name, function.description or "", function.parameters or {}, bool(function.strict))
