"""Formats, checked with the official client's own types."""

from typing import Any

import orjson
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from voicehelper.gateway.openai.frames import ChatFrames, Frames, TextFrames
from voicehelper.gateway.openai.requests import chat_request
from voicehelper.gateway.openai.response_frames import ResponseFrames
from voicehelper.gateway.openai.responses import response_request
from voicehelper.ports.chat import (
    ChatAttempt,
    ChatDelta,
    ChatDone,
    ChatRoute,
    ChatToolDelta,
    ChatUsage,
    TokenLogprob,
)
from voicehelper.wire.openai_chat import ChatCompletionCreate
from voicehelper.wire.openai_responses import ResponseCreate

DONE = ChatDone("tool_calls", ChatUsage(5, 4, 3, 2), "m", ChatRoute("p", "named", (ChatAttempt("m", "answered"),)))
PIECES = (
    ChatDelta('a "quoted"\n', (TokenLogprob("a", float("-inf"), (("a", -1.0), ("b", -2.0))),)),
    ChatDelta("你好"),
    ChatToolDelta(0, "call_a", "f", ""),
    ChatToolDelta(0, arguments="{}"),
    ChatToolDelta(1, "call_b", "g", "{}"),
)


def data(frames: Frames, pieces: tuple[Any, ...] = PIECES) -> list[dict[str, Any]]:
    """All events of a stream, without its end mark."""
    whole = frames.opening() + b"".join(map(frames.piece, pieces)) + frames.ending(DONE)
    found = [event.split(b"data: ", 1)[1] for event in whole.split(b"\n\n") if event]
    return [orjson.loads(each) for each in found if each != b"[DONE]"]


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("logprobs", [True, False])
def test_chunks_are_openais(usage: bool, logprobs: bool) -> None:
    chunks = [ChatCompletionChunk.model_validate(each) for each in data(ChatFrames('mo"del', usage, logprobs))]
    assert {chunk.model for chunk in chunks} == {'mo"del'}
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == 'a "quoted"\n你好'
    given = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert bool(given) == logprobs and all(g.content and g.content[0].logprob == -9999.0 for g in given)
    assert bool(chunks[-1].usage) == usage


@pytest.mark.parametrize("usage", [True, False])
def test_text_chunks_are_openais(usage: bool) -> None:
    # the client builds them without checks: its type knows no chunk that goes on
    chunks = [Completion.construct(**each) for each in data(TextFrames("m", usage, True), PIECES[:2])]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, None, "tool_calls"]
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == 'a "quoted"\n你好'
    found: Any = chunks[0].choices[0].logprobs
    assert (found.tokens, found.text_offset) == (["a"], [0])


def test_events_are_openais() -> None:
    checked: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    found = data(ResponseFrames(ResponseCreate(model="m", input="?")))
    events = [checked.validate_python(each) for each in found]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1].response
    assert [item.type for item in last.output] == ["message", "function_call", "function_call"]
    assert [item.name for item in last.output[1:]] == ["f", "g"] and last.usage.total_tokens == 9
    added = [event.item.id for event in events if event.type == "response.output_item.added"]
    done = [event.item.id for event in events if event.type == "response.output_item.done"]
    assert added == done == [item.id for item in last.output]


def test_an_empty_answer_is_a_message() -> None:
    events = data(ResponseFrames(ResponseCreate(model="m", input="?")), ())
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_a_chat_becomes_the_ports_request() -> None:
    body = ChatCompletionCreate.model_validate(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "user", "content": "?", "name": "Li"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            "stop": ["x", "y"],
            "logprobs": True,
        }
    )
    request = chat_request(body)
    assert [(m.role, m.content, m.name) for m in request.messages] == [("system", "a\nb", ""), ("user", "?", "Li")]
    assert (request.tools[0].strict, request.json_schema, request.schema_name) == (True, {"type": "object"}, "s")
    assert (request.stop, request.logprobs, request.temperature, request.json_object) == (("x", "y"), 0, None, False)


def test_calls_of_one_turn_stay_together() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "?"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {**call, "call_id": "1"},
        {**call, "call_id": "2"},
        {"type": "function_call_output", "call_id": "1", "output": "a"},
        {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
    ]
    request = response_request(ResponseCreate.model_validate({"model": "m", "input": items, "instructions": "i"}))
    assert [message.role for message in request.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert [called.id for called in request.messages[2].tool_calls] == ["1", "2"]
    assert [message.content for message in request.messages[3:]] == ["a", "b", "c"]
