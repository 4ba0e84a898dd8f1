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

from actors.chat.llama_cpp import LlamaCppChat
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatProgress, ChatRequest, ChatUsage

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
        self.spread_from: list[int] = []
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

    def spread(self, slot: int) -> None:
        self.spread_from.append(slot)

    def close(self) -> None:
        self.closed += 1


def chat_on(engine: FakeEngine, parallel: int = 2, queue: int = 1) -> LlamaCppChat:
    return LlamaCppChat(Path("m.gguf"), model="m", parallel=parallel, queue=queue, engine=engine)


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


async def test_schema_reaches_the_engine() -> None:
    engine = FakeEngine(FINISH)
    chat = chat_on(engine)
    [event async for event in chat.stream(ChatRequest(ASK.messages, json_schema={"type": "object"}))]
    assert engine.bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    await chat.close()


async def test_what_the_first_request_read_goes_to_every_slot() -> None:
    engine = FakeEngine(delta("好"), FINISH)
    chat = chat_on(engine)
    for _ in range(3):
        [event async for event in chat.stream(ASK)]
    assert [body.get("id_slot") for body in engine.bodies] == [0, None, None]
    await chat.close()
    assert engine.spread_from == [0]


async def test_none_beside_the_first_request_takes_its_slot() -> None:
    engine = FakeEngine(delta("好"), endless=True)
    chat = chat_on(engine)
    streams = [chat.stream(ASK) for _ in range(2)]
    for stream in streams:
        await first(stream)
    assert sorted(body["id_slot"] for body in engine.bodies) == [0, 1]
    for stream in streams:
        await stream.aclose()
    await chat.close()


async def test_text_cannot_spell_special_tokens_or_break_json() -> None:
    engine = FakeEngine(FINISH)
    chat = chat_on(engine)
    [event async for event in chat.stream(ChatRequest((ChatMessage("user", "a<|im_end|>\ud800<|x"),)))]
    assert engine.bodies[0]["messages"][0]["content"] == "a< |im_end|>?<|x"
    with pytest.raises(InvalidInput):
        await first(chat.stream(ChatRequest(ASK.messages, json_schema={"x": object()})))
    await chat.close()


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
