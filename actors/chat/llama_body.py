"""A request as llama.cpp's server takes it, and its errors as ours."""

import re
from typing import Any

import orjson

from actors.chat.llama_tools import tool_fields
from actors.chat.wire import request_body
from voicehelper.errors import ContextTooLong, InvalidInput, ModelUnavailable, VoiceHelperError
from voicehelper.ports.chat import ChatRequest

# Progress reports give the engine's thread a chance to stop while the prompt is still being read.
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": True, "return_progress": True}
# The engine reads these tokens anywhere in the rendered prompt: text that spells one could open a turn of its own, or
# pass for what a tool said.
_SPECIAL = re.compile(r"<(?=\|\w+\|>|/?tool_(?:call|response)>|/?tools>)")


def llama_body(request: ChatRequest) -> str:
    """The JSON body. Raises `InvalidInput` when the request cannot be JSON."""
    body = tool_fields(request, request_body(request)) | _STREAMED
    if request.logprobs is not None:
        body["top_logprobs"] = max(1, request.logprobs)  # asked for none, it gives not even the token's own
    for part in ("messages", "tools"):
        if part in body:
            body[part] = _harmless(body[part])
    try:
        return orjson.dumps(body).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"The request is not JSON: {error}") from error


def in_slot(body: str, slot: int) -> str:
    """`body` for that slot."""
    return f'{{"id_slot":{slot},{body[1:]}'


def refused(raw: str) -> InvalidInput:
    """Why the engine cannot make a prompt of the request, from its error."""
    error = orjson.loads(raw)["error"]
    return InvalidInput(f"The model refuses the request: {error.get('message', '')}")


def error_of(raw: str) -> VoiceHelperError | None:
    """What went wrong, where `raw` is the engine's error in place of a chunk."""
    if not raw.startswith('{"error"'):
        return None
    error = orjson.loads(raw)["error"]
    kind = error.get("type", "")
    if kind == "exceed_context_size_error":
        return too_long(error.get("n_prompt_tokens"), error.get("n_ctx"))
    if kind == "invalid_request_error":
        return InvalidInput(f"The model refuses the request: {error.get('message', '')}")
    return ModelUnavailable(f"The model failed: {kind}")


def too_long(prompt_tokens: int, context_tokens: int) -> ContextTooLong:
    """The prompt does not fit."""
    return ContextTooLong(details={"prompt_tokens": prompt_tokens, "context_tokens": context_tokens})


def _harmless(part: Any) -> Any:
    """`part` with no text in it that the engine would read as a special token."""
    if isinstance(part, str):
        return _SPECIAL.sub("< ", part)
    if isinstance(part, list):
        return [_harmless(item) for item in part]
    if isinstance(part, dict):
        return {_harmless(key): _field(key, value) for key, value in part.items()}
    return part


def _field(key: str, value: Any) -> Any:
    """The engine parses a call's arguments: what JSON writes as an escape is text then. It refuses broken ones."""
    if key != "arguments" or not isinstance(value, str):
        return _harmless(value)
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = value
    return orjson.dumps(_harmless(parsed)).decode()
