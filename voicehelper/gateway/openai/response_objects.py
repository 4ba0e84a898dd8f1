"""Objects of `/v1/responses`."""

import time
from collections.abc import Sequence
from typing import Any

from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.openai.events import Grounded, route_facts
from voicehelper.gateway.openai.frames import cited, new_id
from voicehelper.gateway.openai_errors import openai_code
from voicehelper.ports.chat import ChatDone, ChatUsage
from voicehelper.wire.openai_responses import ResponseCreate, TextFormat

Json = dict[str, Any]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def begun(body: ResponseCreate) -> Json:
    """A response with no output yet."""
    choice = body.tool_choice
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": {"format": _format(body.text.format if body.text else None)},
        "tool_choice": choice if choice is None or isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    } | ({} if choice is not None else {"tool_choice": "auto"})


def _format(given: TextFormat | None) -> Json:
    return {"type": "text"} if given is None else given.model_dump(by_alias=True, exclude_none=True)


def ended(response: Json, output: Sequence[Json], done: ChatDone, grounded: Grounded | None) -> Json:
    """The response, with all that came."""
    reason = _INCOMPLETE.get(done.finish_reason)
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": list(output),
        "usage": usage(done.usage),
        "voicehelper": route_facts(done, grounded),
    }


def failed(response: Json, output: Sequence[Json], error: VoiceHelperError, message: str) -> Json:
    """The response, broken off."""
    facts = {"code": openai_code(error.code), "message": message}
    return {**response, "status": "failed", "error": facts, "output": list(output)}


def usage(counted: ChatUsage) -> Json:
    """`usage` of a response."""
    return {
        "input_tokens": counted.prompt_tokens,
        "input_tokens_details": {"cached_tokens": counted.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": counted.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
        "total_tokens": counted.prompt_tokens + counted.completion_tokens,
    }


def message(id_: str, status: str, content: list[Json]) -> Json:
    """An item of the output: what the model says."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def output_text(text: str, grounded: Grounded | None = None) -> Json:
    """What is said, and what it rests on."""
    return {"type": "output_text", "text": text, "annotations": annotations(grounded), "logprobs": []}


def annotations(grounded: Grounded | None) -> list[Json]:
    """Citations, as a response has them."""
    return [{"type": "file_citation", **cited(each)} for each in grounded.citations] if grounded is not None else []


def function_call(id_: str, status: str, call_id: str, name: str, arguments: str) -> Json:
    """An item of the output: what the model asks for."""
    return {
        "id": id_,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }
