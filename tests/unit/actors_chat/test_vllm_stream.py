"""What a vLLM engine gives, as chat events."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from actors.chat.vllm import VllmChat
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import BrokenStream, ContextTooLong, DeadlineExceeded, ModelUnavailable
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModelInfo,
    ChatRequest,
    ChatToolDelta,
    ChatUsage,
)

REQUEST = ChatRequest((ChatMessage("user", "Hello"),), max_tokens=5)


def _sse(**chunk):
    return f"data: {json.dumps(chunk)}\n\n"


def _delta(finish=None, **delta):
    return _sse(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


USAGE = _sse(
    choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
)
END = "data: [DONE]\n\n"


class FakeEngine:
    """Gives `batches`, then whatever `after` does; keeps the bodies it got."""

    def __init__(self, *batches, after=None):
        self.batches, self.after = batches, after
        self.bodies, self.closed = [], False

    async def ask(self, body):
        self.bodies.append(body)
        return self._events()

    async def _events(self):
        try:
            for batch in self.batches:
                yield batch
            if self.after:
                await self.after()
        finally:
            self.closed = True


async def _all(engine, request=REQUEST):
    chat = VllmChat(engine.ask, ChatModelInfo("qwen", 8192, "vllm"))
    return [event async for event in chat.stream(request)]


async def test_what_came_together_is_one_piece():
    engine = FakeEngine(
        [_delta(role="assistant", content="")],
        [_delta(content="Hel")],
        [_delta(content="lo "), _delta(content="you"), _delta("stop")],
        [USAGE, END],
    )
    assert await _all(engine) == [
        ChatDelta("Hel"),
        ChatDelta("lo you"),
        ChatDone("stop", ChatUsage(7, 3, 4), "qwen"),
    ]
    body = engine.bodies[0]
    assert (body["model"], body["stream"], body["max_tokens"]) == ("qwen", True, 5)
    assert body["stream_options"] == {"include_usage": True}


async def test_an_adapter_is_asked_by_its_own_name():
    engine = FakeEngine([_delta("stop", content="x"), END])
    await _all(engine, ChatRequest(REQUEST.messages, model="qwen:support"))
    assert engine.bodies[0]["model"] == "qwen:support"


async def test_tool_calls_and_unbatched_items():
    call = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": "{}"}}
    engine = FakeEngine(_delta(tool_calls=[call]), _delta("tool_calls"), END)
    events = await _all(engine)
    assert events[0] == ChatToolDelta(0, "c1", "find", "{}")
    assert events[-1].finish_reason == "tool_calls"


async def test_the_engines_refusal_is_ours():
    text = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
    error = {"error": {"message": text, "type": "BadRequestError", "param": None, "code": 400}}
    with pytest.raises(ContextTooLong):
        await _all(FakeEngine([SimpleNamespace(model_dump=lambda: error)]))
    with pytest.raises(ContextTooLong):
        await _all(FakeEngine([f"data: {json.dumps(error)}\n\n", END]))


async def test_an_answer_that_ends_early():
    with pytest.raises(BrokenStream):
        await _all(FakeEngine([_delta(content="He")]))
    with pytest.raises(ModelUnavailable):
        await _all(FakeEngine([]))


async def test_running_out_of_time_closes_the_engines_stream():
    engine = FakeEngine([_delta(content="He")], after=asyncio.Event().wait)
    with use_context(RequestContext(deadline=1.0)), pytest.raises(DeadlineExceeded):  # long over
        await _all(engine)


async def test_leaving_closes_the_engines_stream():
    engine = FakeEngine([_delta(content="He")], [_delta(content="llo")])
    chat = VllmChat(engine.ask, ChatModelInfo("qwen", 8192, "vllm"))
    stream = chat.stream(REQUEST)
    assert await anext(stream) == ChatDelta("He")
    await stream.aclose()
    assert engine.closed
