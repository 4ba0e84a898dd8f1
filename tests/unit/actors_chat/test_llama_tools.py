"""Calls in the text of an answer: found, held back, or let through; and what is enforced before."""

import json

import pytest

from actors.chat.llama_body import llama_body
from actors.chat.llama_tools import Calls
from voicehelper.ports.chat import ChatMessage, ChatRequest, ChatToolDelta, Tool

WEATHER = Tool("weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
TIME = Tool("time")
CALL = '{"name": "weather", "arguments": {"city": "北京"}}'


def read(answer: str, step: int = 3) -> tuple[str, list[tuple[int, str, str]]]:
    """The text shown and the calls found, when the answer comes in pieces."""
    calls = Calls(["weather", "time"])
    shown = "".join(calls.shown(answer[at : at + step]) for at in range(0, len(answer), step))
    rest, found = calls.ended()
    return shown + rest, [(call.index, call.name, call.arguments) for call in found]


@pytest.mark.parametrize(
    "answer",
    [
        CALL,
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```\n\n",
        f"{{{CALL}}}",
        f"\n{CALL}. Please tell me more!",
        json.dumps({"name": "weather", "parameters": {"city": "北京"}}),
    ],
)
def test_a_call_in_any_dress(answer: str) -> None:
    assert read(answer) == ("", [(0, "weather", '{"city": "北京"}')])


@pytest.mark.parametrize(
    "answer", [f"[{CALL}, {CALL}]", f"{CALL}\n{CALL}", f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>"]
)
def test_several_calls(answer: str) -> None:
    assert [index for index, _, _ in read(answer)[1]] == [0, 1]


@pytest.mark.parametrize(
    "answer",
    [
        "晴，25 度。",
        f"好的：{CALL}",
        '{"name": "hello", "arguments": {}}',
        '{"name": "weather", "arguments": "北京"}',
        '{"name": "weather", "argum',
        "```python\nprint(1)\n```",
        "{{}}",
        "[1, 2]",
        "",
    ],
)
def test_what_is_no_call_is_text(answer: str) -> None:
    assert read(answer) == (answer, [])


def test_text_is_not_held_back() -> None:
    calls = Calls(["weather"])
    assert [calls.shown(text) for text in ("``", "`", "py", "{")] == ["", "", "```py", "{"]
    untold = Calls([])
    assert (untold.shown(CALL), untold.ended()) == (CALL, ("", []))


def test_calls_have_ids_of_their_own() -> None:
    calls = Calls(["weather"])
    calls.shown(f"{CALL}{CALL}")
    found: list[ChatToolDelta] = calls.ended()[1]
    assert len({call.id for call in found}) == 2


def body(choice: str, parallel: bool | None = None) -> dict[str, object]:
    ask = (ChatMessage("user", "x"),)
    request = ChatRequest(ask, tools=(WEATHER, TIME), tool_choice=choice, parallel_tools=parallel)
    return dict(json.loads(llama_body(request)))


def test_a_required_call_is_enforced_by_a_schema() -> None:
    schema = body("required")["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert [call["properties"]["name"]["const"] for call in schema["anyOf"]] == ["weather", "time"]
    named = body("tool:time")["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert [call["properties"]["name"]["const"] for call in named["anyOf"]] == ["time"]
    several = body("required", parallel=True)["response_format"]["json_schema"]["schema"]  # type: ignore[index]
    assert several["type"] == "array" and several["items"] == schema


def test_a_model_that_may_not_call_is_not_told_of_tools() -> None:
    silent = body("none")
    assert "tools" not in silent and "grammar" in silent
    free = body("auto")
    assert len(free["tools"]) == 2 and "response_format" not in free  # type: ignore[arg-type]
    assert "tool_choice" not in body("required")
