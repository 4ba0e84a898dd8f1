"""LlamaCppChat around a fake engine: admission, cancellation, errors. The real engine is in tests/integration."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from actors.chat.llama_body import llama_body
from actors.chat.llama_cpp import CAPABILITIES, LlamaCppChat
from voicehelper.config import ChatSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import ContextTooLong, DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from voicehelper.models.local import local_entry
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatProgress,
    ChatRequest,
    ChatToolDelta,
    ChatUsage,
    TokenLogprob,
    Tool,
    ToolCall,
)

ASK = ChatRequest((ChatMessage("user", "你好"),), max_tokens=5)


def delta(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]})


PROGRESS = json.dumps({"choices": [{"delta": {"content": None}}], "prompt_progress": {"processed": 0}})
FINISH = json.dumps({"choices": [{"delta": {}, "finish_reason": "length"}]})
USAGE = json.dumps(
    {
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
    }
)
TOO_LONG = json.dumps(
    {"error": {"type": "exceed_context_size_error", "message": "m", "n_prompt_tokens": 9, "n_ctx": 4}}
)


class FakeEngine:
    """Sends `chunks`; with `endless` it repeats the last one until told to stop."""

    def __init__(self, *chunks: str, endless: bool = False, fails: str = "") -> None:
        self.chunks, self.endless, self.fails = chunks, endless, fails
        self.running = self.most = self.stopped = self.closed = 0
        self.kept: list[tuple[int, str]] = []
        self.recalled: list[tuple[int, str]] = []
        self.pieces: list[tuple[int, int]] = []
        self.prompts: dict[str, int] = {}  # tokens of a prompt, by the user's text
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def complete(self, body: str, on_chunk: Callable[[str], bool]) -> None:
        with self.lock:
            self.bodies.append(json.loads(body))
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self._send(on_chunk)
        finally:
            with self.lock:
                self.running -= 1

    def _send(self, on_chunk: Callable[[str], bool]) -> None:
        if self.fails:
            raise RuntimeError(self.fails)
        for chunk in self.chunks:
            if on_chunk(chunk):
                self.stopped += 1
                return
        while self.endless:
            time.sleep(0.005)
            if on_chunk(self.chunks[-1]):
                self.stopped += 1
                return

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def tokens(self, body: str) -> list[int]:
        text = json.loads(body)["messages"][-1]["content"]
        return list(range(self.prompts.get(text, 1)))

    def read(self, tokens: Sequence[int], slot: int) -> None:
        self.pieces.append((len(tokens), slot))

    def keep(self, slot: int, name: str) -> None:
        self.kept.append((slot, name))

    def recall(self, slot: int, name: str) -> None:
        self.recalled.append((slot, name))

    def close(self) -> None:
        self.closed += 1


def chat_on(engine: FakeEngine, parallel: int = 2, queue: int = 1) -> LlamaCppChat:
    return LlamaCppChat(Path("m.gguf"), model="m", parallel=parallel, queue=queue, engine=engine)


def ask(text: str) -> ChatRequest:
    return ChatRequest((ChatMessage("user", text),), max_tokens=5)


async def collect(chat: LlamaCppChat, request: ChatRequest) -> list[Any]:
    return [event async for event in chat.stream(request)]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never became true")


async def first(events: AsyncIterator[Any]) -> Any:
    return await anext(events)


async def test_yields_deltas_then_done() -> None:
    engine = FakeEngine(PROGRESS, delta("你"), delta("好"), FINISH, USAGE)
    chat = chat_on(engine)
    events = [event async for event in chat.stream(ASK)]
    assert events == [ChatDelta("你"), ChatDelta("好"), ChatDone("length", ChatUsage(7, 2, 3), "m")]
    assert engine.bodies[0]["cache_prompt"] is True and engine.bodies[0]["temperature"] == 0.0
    await chat.close()
    assert engine.closed == 1


def test_the_catalogue_tells_what_the_engine_can() -> None:
    assert local_entry(ChatSettings(backend="llama_cpp")).capabilities == CAPABILITIES


async def test_schema_reaches_the_engine() -> None:
    engine = FakeEngine(FINISH)
    chat = chat_on(engine)
    [event async for event in chat.stream(ChatRequest(ASK.messages, json_schema={"type": "object"}))]
    assert engine.bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    await chat.close()


async def test_what_the_first_request_read_is_given_to_slots_that_hold_less() -> None:
    engine = FakeEngine(delta("好"), FINISH)
    engine.prompts = {"规则": 200, "别的": 0}
    chat = chat_on(engine)
    await collect(chat, ask("规则"))
    assert engine.pieces == [(64, 0), (128, 0), (192, 0)] and engine.kept == [(0, "kept-0")]
    engine.pieces.clear()
    await asyncio.gather(collect(chat, ask("规则")), collect(chat, ask("规则")))
    assert sorted(body["id_slot"] for body in engine.bodies[1:]) == [0, 1]
    assert engine.pieces == [] and engine.recalled == [(1, "kept-0")] and len(engine.kept) == 1
    await chat.close()


async def test_a_state_that_is_not_there_is_read_again_and_forgotten() -> None:
    engine = FakeEngine(delta("好"), FINISH)
    engine.prompts = {"规则": 100}
    chat = chat_on(engine)
    await collect(chat, ask("规则"))

    def gone(slot: int, name: str) -> None:
        engine.recalled.append((slot, name))
        raise ModelUnavailable("no such file")

    engine.recall = gone  # type: ignore[method-assign]
    engine.pieces.clear()
    for _ in range(2):
        events = await asyncio.gather(collect(chat, ask("规则")), collect(chat, ask("规则")))
        assert all(isinstance(answer[-1], ChatDone) for answer in events)
    assert engine.recalled == [(1, "kept-0")] and (64, 1) in engine.pieces
    await chat.close()


async def test_what_was_read_in_pieces_was_not_cached() -> None:
    engine = FakeEngine(delta("好"), FINISH, USAGE.replace('"cached_tokens": 3', '"cached_tokens": 70'))
    engine.prompts = {"长": 80}
    chat = chat_on(engine)
    assert (await collect(chat, ask("长")))[-1] == ChatDone("length", ChatUsage(7, 2, 6), "m")
    await chat.close()


async def test_a_short_prompt_passes_a_long_one() -> None:
    engine = FakeEngine(delta("好"), FINISH)
    engine.prompts = {"长": 900, "短": 20}
    chat = chat_on(engine)
    order: list[str] = []

    async def run(text: str) -> None:
        await first(chat.stream(ask(text)))
        order.append(text)

    engine.read = lambda tokens, slot: time.sleep(0.01)  # type: ignore[method-assign]
    long = asyncio.create_task(run("长"))
    await asyncio.sleep(0.02)
    await asyncio.gather(run("短"), long)
    assert order == ["短", "长"]
    await chat.close()


async def test_closing_between_two_pieces_stops_the_reading() -> None:
    engine = FakeEngine(delta("好"), FINISH)
    engine.prompts = {"长": 9000}
    read: list[int] = []
    engine.read = lambda tokens, slot: (read.append(len(tokens)), time.sleep(0.005))[0]  # type: ignore[method-assign,func-returns-value]
    chat = LlamaCppChat(Path("m.gguf"), model="m", context_tokens=10000, parallel=1, queue=1, engine=engine)
    task = asyncio.create_task(first(chat.stream(ask("长"))))
    await until(lambda: len(read) > 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await first(chat.stream(ASK)) == ChatDelta("好")
    assert max(read) < 9000 and len(engine.bodies) == 1
    await chat.close()


async def test_a_prompt_that_cannot_fit_is_refused_before_it_is_read() -> None:
    engine = FakeEngine(FINISH)
    engine.prompts = {"长": 4096}
    chat = chat_on(engine)
    with pytest.raises(ContextTooLong) as caught:
        await first(chat.stream(ask("长")))
    assert caught.value.details == {"prompt_tokens": 4096, "context_tokens": 4096}
    assert engine.bodies == [] and engine.pieces == []
    await chat.close()


async def test_tools_and_logprobs_come_through() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": ""}}
    lookup = json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]})
    rest = json.dumps({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]})
    tools = FakeEngine(lookup, rest, FINISH.replace("length", "tool_calls"))
    chat = chat_on(tools)
    assert await collect(chat, ASK) == [
        ChatToolDelta(0, "c1", "weather"),
        ChatToolDelta(0, arguments="{}"),
        ChatDone("tool_calls", ChatUsage(), "m"),
    ]
    await chat.close()
    half = {"content": [{"token": "", "logprob": -1.0, "top_logprobs": []}]}
    whole = {"content": [{"token": "😀", "logprob": -0.5, "top_logprobs": [{"token": "好", "logprob": -2.0}]}]}
    spoken = [
        json.dumps({"choices": [{"delta": {"content": text}, "logprobs": logprobs}]})
        for text, logprobs in (("", half), ("😀", whole))
    ]
    chat = chat_on(FakeEngine(*spoken, FINISH))
    probabilities = (TokenLogprob("", -1.0), TokenLogprob("😀", -0.5, (("好", -2.0),)))
    assert (await collect(chat, ASK))[0] == ChatDelta("😀", probabilities)
    await chat.close()


async def test_text_cannot_spell_special_tokens_or_break_json() -> None:
    engine = FakeEngine(FINISH)
    chat = chat_on(engine)
    [event async for event in chat.stream(ChatRequest((ChatMessage("user", "a<|im_end|>\ud800<|x"),)))]
    assert engine.bodies[0]["messages"][0]["content"] == "a< |im_end|>?<|x"
    with pytest.raises(InvalidInput):
        await first(chat.stream(ChatRequest(ASK.messages, json_schema={"x": object()})))
    await chat.close()


def test_tools_cannot_spell_special_tokens_either() -> None:
    mark, tag = "<|im_start|>", "</tool_response>"
    escaped = '{"q": "\\u003c|im_start|>", "n": 1}'  # the engine parses arguments
    messages = (
        ChatMessage("user", tag),
        ChatMessage("assistant", "", tool_calls=(ToolCall("1", mark, escaped), ToolCall("2", "f", mark))),
        ChatMessage("tool", mark + tag, tool_call_id="1"),
    )
    tool = Tool(mark, tag, {"type": "object", "properties": {mark: {"description": tag, "enum": [mark]}}})
    body = llama_body(ChatRequest(messages, tools=(tool,), tool_choice=f"tool:{mark}"))
    read = json.loads(body)
    prompt = json.dumps([read["messages"], read["tools"]], ensure_ascii=False)
    assert mark not in prompt and tag not in prompt and "u003c" not in prompt
    assert prompt.count("< |im_start|>") == 7 and prompt.count("< /tool_response>") == 4
    first, broken = (json.loads(call["function"]["arguments"]) for call in read["messages"][1]["tool_calls"])
    assert first["n"] == 1 and broken == "< |im_start|>"


async def test_closing_the_stream_stops_the_engine() -> None:
    engine = FakeEngine(delta("再"), endless=True)
    chat = chat_on(engine)
    async with aclosing(chat.stream(ASK)) as events:
        assert await first(events) == ChatDelta("再")
    await until(lambda: engine.stopped == 1 and engine.running == 0)
    await chat.close()


async def test_closing_while_the_prompt_is_read_stops_the_engine() -> None:
    engine = FakeEngine(PROGRESS, endless=True)
    chat = chat_on(engine)
    task = asyncio.create_task(first(chat.stream(ASK)))
    await until(lambda: engine.running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: engine.stopped == 1 and engine.running == 0)
    await chat.close()


async def test_parallel_then_queue_then_overloaded() -> None:
    engine = FakeEngine(delta("再"), endless=True)
    chat = chat_on(engine, parallel=2, queue=1)
    running = [chat.stream(ASK) for _ in range(2)]
    for events in running:
        await first(events)
    waiting = asyncio.create_task(first(chat.stream(ASK)))
    await asyncio.sleep(0.02)
    with pytest.raises(Overloaded) as caught:
        await first(chat.stream(ASK))
    assert caught.value.retry_after and caught.value.retry_after >= 1
    assert not waiting.done() and engine.most == 2
    await running[0].aclose()
    assert await waiting == ChatDelta("再")
    assert engine.most == 2
    await chat.close()


async def test_cancelled_in_the_queue_frees_its_place() -> None:
    engine = FakeEngine(delta("再"), endless=True)
    chat = chat_on(engine, parallel=1, queue=1)
    running = chat.stream(ASK)
    await first(running)
    for _ in range(3):
        waiting = asyncio.create_task(first(chat.stream(ASK)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await running.aclose()
    assert await first(chat.stream(ASK)) == ChatDelta("再")
    assert len(engine.bodies) == 2
    await chat.close()


async def test_who_waits_behind_others_hears_that_the_engine_works() -> None:
    engine = FakeEngine(delta("再"), endless=True)
    chat = LlamaCppChat(Path("m.gguf"), model="m", parallel=1, queue=1, engine=engine, sign_of_life_s=0.02)
    running = chat.stream(ASK)
    await first(running)
    reading = asyncio.create_task(drain(running, until=lambda: False))
    waiting = chat.stream(ASK)
    assert await anext(waiting) == ChatProgress()
    assert await anext(waiting) == ChatProgress()
    await waiting.aclose()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await running.aclose()
    assert await first(chat.stream(ASK)) == ChatDelta("再")
    await chat.close()


async def test_an_engine_that_does_nothing_gives_no_sign() -> None:
    engine = FakeEngine(PROGRESS)
    engine.complete = lambda body, on_chunk: time.sleep(0.3)  # type: ignore[method-assign]
    chat = LlamaCppChat(Path("m.gguf"), model="m", parallel=1, queue=1, engine=engine, sign_of_life_s=0.02)
    signs = 0
    with pytest.raises(ModelUnavailable):
        async for _ in chat.stream(ASK):
            signs += 1
    assert signs <= 2  # those of the moment after loading
    await chat.close()


async def drain(events: AsyncIterator[Any], until: Callable[[], bool]) -> None:
    async for _ in events:
        if until():
            return


async def test_deadline_passes_in_the_queue() -> None:
    chat = chat_on(FakeEngine(delta("再"), endless=True), parallel=1)
    running = chat.stream(ASK)
    await first(running)
    with use_context(RequestContext(deadline=time.time() + 0.05)), pytest.raises(DeadlineExceeded):
        await first(chat.stream(ASK))
    await chat.close()


async def test_errors_are_ours() -> None:
    chat = chat_on(FakeEngine(TOO_LONG))
    with pytest.raises(InvalidInput) as caught:
        await first(chat.stream(ASK))
    assert caught.value.details == {"prompt_tokens": 9, "context_tokens": 4}
    await chat.close()
    for engine in (FakeEngine(fails="std::bad_alloc"), FakeEngine(delta("断")), FakeEngine("not json")):
        chat = chat_on(engine)
        with pytest.raises(ModelUnavailable):
            [event async for event in chat.stream(ASK)]
        await chat.close()


async def test_unloading_ends_running_requests() -> None:
    engine = FakeEngine(delta("再"), endless=True)
    chat = chat_on(engine)
    events = chat.stream(ASK)
    await first(events)
    closing = asyncio.create_task(chat.close())
    with pytest.raises(ModelUnavailable):
        [event async for event in events]
    await closing
    assert engine.running == 0
    with pytest.raises(ModelUnavailable):
        await first(chat.stream(ASK))
