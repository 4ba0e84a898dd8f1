"""Tools with models that do not keep to their template.

llama.cpp reads calls between `<tool_call>` marks, and enforces none. Small models write the same JSON in a code fence
or bare, and call what does not exist. So a call that is required is enforced here, as a JSON schema, and an answer
that begins like a call is held back until it is known to be one.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from voicehelper.ports.chat import ChatRequest, ChatToolDelta, Tool

_MOST_CALLS = 8
_OPENINGS = ("{", "[{", "[ {", "[\n", "```json", "```\n{", "<tool_call>")
# Two braces: the template of Qwen2.5-Coder 1.5B shows calls so.
_BETWEEN = re.compile(r"(?:\s|,|\[|\]|```\w*|</?tool_call>|\{(?=\{))*")
# A model that sees a call and its result copies the call, whatever it was told.
_NO_CALL = r"root ::= [^{\[`< \n] [^\x00]*"
_DECODER = json.JSONDecoder()


def wants_call(request: ChatRequest) -> bool:
    """Whether the answer has to be a call."""
    return bool(request.tools) and request.tool_choice not in ("auto", "none")


def tool_fields(request: ChatRequest, body: dict[str, Any]) -> dict[str, Any]:
    """`body` with what llama.cpp understands of the request's tools. A model that may not call is not told of them."""
    if not request.tools:
        return body
    body = {key: value for key, value in body.items() if key not in ("tool_choice", "parallel_tool_calls")}
    if request.tool_choice == "none":
        del body["tools"]
        if "response_format" not in body:
            body["grammar"] = _NO_CALL
    elif wants_call(request):
        schema = {"name": "call", "schema": _calls_schema(request), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _calls_schema(request: ChatRequest) -> dict[str, Any]:
    named = request.tool_choice.removeprefix("tool:")
    tools = [tool for tool in request.tools if request.tool_choice == "required" or tool.name == named]
    call = {"anyOf": [_call_schema(tool) for tool in tools]}
    if not request.parallel_tools:
        return call
    return {"type": "array", "minItems": 1, "maxItems": _MOST_CALLS, "items": call}


def _call_schema(tool: Tool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": tool.parameters or {"type": "object"}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


class Calls:
    """Finds the calls in an answer's text. `tools` are the names that may be called."""

    def __init__(self, tools: Sequence[str]) -> None:
        self._tools = frozenset(tools)
        self._held = ""
        self._holds = bool(tools)

    def shown(self, text: str) -> str:
        """What of the answer, now that `text` came too, is surely no call."""
        if not self._holds:
            return text
        self._held += text
        start = self._held.lstrip()
        if any(start.startswith(opening) or opening.startswith(start) for opening in _OPENINGS):
            return ""
        return self._released()

    def ended(self) -> tuple[str, list[ChatToolDelta]]:
        """The answer is over: the text that was held back and is none, and the calls."""
        found = list(_calls(self._held, self._tools)) if self._holds else []
        return ("", found) if found else (self._released(), [])

    def _released(self) -> str:
        held, self._held, self._holds = self._held, "", False
        return held


def _calls(text: str, tools: frozenset[str]) -> Iterator[ChatToolDelta]:
    """The calls that `text` begins with; what a model says after them is left out."""
    at, index = 0, 0
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        try:
            call, at = _DECODER.raw_decode(text, at)
        except ValueError:
            return
        if not isinstance(call, dict) or call.get("name") not in tools:
            return
        arguments = call.get("arguments", call.get("parameters"))
        if not isinstance(arguments, dict):
            return
        written = json.dumps(arguments, ensure_ascii=False)
        yield ChatToolDelta(index, f"call_{secrets.token_hex(12)}", call["name"], written)
        index += 1
