"""llama.cpp in this process as a `ChatModel`."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol

import orjson

from actors.chat.admission import Admission
from actors.chat.usage import StreamMeter
from actors.chat.wire import read_chunk, request_body
from voicehelper.errors import InvalidInput, ModelUnavailable, VoiceHelperError
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatModelInfo,
    ChatProgress,
    ChatRequest,
    ChatUsage,
    FinishReason,
)

_FIRST_SLOT = 0
_WORKING = "working"  # no JSON, so no chunk
# Progress reports give the engine's thread a chance to stop while the prompt is still being read.
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": True, "return_progress": True}
# The engine reads special tokens anywhere in the rendered prompt: text that spells one could open a turn of its own.
_SPECIAL = re.compile(r"<\|(?=\w+\|>)")


class Engine(Protocol):
    """What this class needs of `LlamaEngine`; tests give a fake one."""

    def complete(self, body: str, on_chunk: Callable[[str], bool]) -> None:
        """Run one completion in the calling thread."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        ...

    def spread(self, slot: int) -> None:
        """Copy what `slot` has read to the other slots."""
        ...

    def close(self) -> None:
        """Unload."""
        ...


class LlamaCppChat:
    """Streams from a GGUF model loaded into this process.

    Duties: admit, run the engine's blocking call in a thread, carry its chunks to the event loop, stop it when the
    stream is closed. Prefix reuse and continuous batching are the engine's own: each request goes to the idle slot
    whose last prompt shares the longest prefix with it. What the first request read is copied to all slots: requests
    begin alike, so no other slot has to read that beginning again.

    Args:
        path: the GGUF file.
        model: the name to report.
        context_tokens: prompt and output of one request.
        parallel: requests decoded together; each costs `context_tokens` of KV memory.
        queue: requests waiting beyond those.
        threads: CPU threads of the engine.
        sign_of_life_s: a stream without text says so often that the engine is at work (`ChatProgress`), if it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str = "",
        context_tokens: int = 4096,
        parallel: int = 4,
        queue: int = 16,
        threads: int = 2,
        engine: Engine | None = None,
        sign_of_life_s: float = 5.0,
    ) -> None:
        self._info = ChatModelInfo(model or path.stem, context_tokens, "llama.cpp")
        self._admission = Admission("chat", parallel, queue)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="llama")
        self._closing = threading.Event()
        self._parallel = parallel
        self._named_slots = 0
        self._read_first = False  # whether the first request has ended
        self._sign_of_life_s = sign_of_life_s
        self._worked_at = time.monotonic()  # when the engine last gave something to any request
        self._engine: Engine = engine or _load(path, context_tokens, parallel, threads)

    async def describe(self) -> ChatModelInfo:
        """The loaded model."""
        return self._info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Exact counts, by the model's own tokenizer."""
        return await asyncio.to_thread(self._engine.count_tokens, texts)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. Closing the generator stops the engine within one batch of its work."""
        body = _encoded(request)
        async with aclosing(self._admitted()) as signs:
            async for sign in signs:
                yield sign
        run = self._start(body)
        meter = StreamMeter(self._info.model)
        finish: FinishReason | None = None
        usage = ChatUsage()
        told = time.monotonic()
        try:
            while (raw := await (run.chunks.get() if meter.speaking else self._waited(run))) is not None:
                if raw == _WORKING:
                    yield ChatProgress()
                    continue
                self._worked_at = time.monotonic()
                chunk = read_chunk(_checked(raw))
                finish, usage = chunk.finish or finish, chunk.usage or usage
                if chunk.text:
                    meter.text()
                    yield ChatDelta(chunk.text)
                elif chunk.progress and time.monotonic() - told > self._sign_of_life_s:
                    told = time.monotonic()
                    yield ChatProgress()
        finally:
            run.stop.set()
        if finish is None:
            raise run.failure()
        meter.done(usage)
        yield ChatDone(finish, usage, self._info.model)

    async def _waited(self, run: "_Run") -> str | None:
        """The next chunk; `_WORKING` where none comes for a while, from an engine that works for others meanwhile."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sign_of_life_s):
                    return await run.chunks.get()
            if self._works():
                return _WORKING

    async def _admitted(self) -> AsyncGenerator[ChatProgress, None]:
        """Wait for a permit; a sign of life now and then, as long as the engine works for those who have one."""
        if self._admission.free:
            await self._admission.acquire()
            return
        waiting = asyncio.create_task(self._admission.acquire())
        try:
            while not (await asyncio.wait([waiting], timeout=self._sign_of_life_s))[0]:
                if self._works():
                    yield ChatProgress()
        except BaseException:  # nobody waits any more: a permit that came at this moment goes back
            if not waiting.cancel() and waiting.exception() is None:
                self._admission.release(0.0)
            raise
        await waiting

    def _works(self) -> bool:
        return time.monotonic() - self._worked_at < 2 * self._sign_of_life_s

    async def close(self) -> None:
        """Stop every request, then unload the model."""
        self._closing.set()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._engine.close)

    def _next_slot(self) -> int | None:
        """The slot to name in a request; None leaves the choice to the engine.

        The first request's slot is named because what it reads is copied from there. Requests beside it are named one
        too: one of them that reached the engine sooner would take that slot, and the first would wait for its end.
        """
        if self._read_first or self._named_slots == self._parallel:
            return None
        self._named_slots += 1
        return self._named_slots - 1

    def _start(self, body: str) -> "_Run":
        slot = self._next_slot()
        first = slot == _FIRST_SLOT
        run = _Run(_in_slot(body, slot), self._closing, spread=first)
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            future = self._threads.submit(run, self._engine)
        except RuntimeError as error:  # the pool is shut down
            self._admission.release(0.0)
            raise ModelUnavailable("The model is being unloaded") from error

        def finished(_future: Future[None]) -> None:
            self._read_first |= first
            run.post(None)
            _on_loop(loop, self._admission.release, time.monotonic() - started)

        future.add_done_callback(finished)
        return run


class _Run:
    """One completion: made on the event loop, called in a thread of the pool."""

    def __init__(self, body: str, closing: threading.Event, *, spread: bool) -> None:
        self.chunks: asyncio.Queue[str | None] = asyncio.Queue()
        self.stop = threading.Event()
        self._body = body
        self._closing = closing
        self._spread = spread
        self._loop = asyncio.get_running_loop()
        self._failure: RuntimeError | VoiceHelperError | None = None

    def __call__(self, engine: Engine) -> None:
        if self._on_stop():
            return
        try:
            engine.complete(self._body, self._on_chunk)
            if self._spread:
                engine.spread(_FIRST_SLOT)
        except (RuntimeError, VoiceHelperError) as error:  # what the binding raises for a C++ exception
            self._failure = error

    def post(self, chunk: str | None) -> bool:
        """Hand `chunk` to the event loop; False when the loop is gone."""
        return _on_loop(self._loop, self.chunks.put_nowait, chunk)

    def failure(self) -> VoiceHelperError:
        """Why the stream ended before its time."""
        if isinstance(self._failure, VoiceHelperError):
            return self._failure
        if self._failure is None:
            return ModelUnavailable("The model is being unloaded")
        error = ModelUnavailable("The model failed")
        error.__cause__ = self._failure
        return error

    def _on_chunk(self, chunk: str) -> bool:
        return self._on_stop() or not self.post(chunk)

    def _on_stop(self) -> bool:
        # An interpreter that exits joins this thread first: without the last test it would wait for the whole answer.
        return self.stop.is_set() or self._closing.is_set() or not threading.main_thread().is_alive()


def _load(path: Path, context_tokens: int, parallel: int, threads: int) -> Engine:
    from actors.chat.engine import LlamaEngine  # noqa: PLC0415 - tests of this class need no engine

    return LlamaEngine(path, context_tokens=context_tokens, parallel=parallel, threads=threads)


def _on_loop(loop: asyncio.AbstractEventLoop, call: Any, *args: Any) -> bool:
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:  # the loop is closed: nobody is left to tell
        return False
    return True


def _encoded(request: ChatRequest) -> str:
    body = request_body(request) | _STREAMED
    for message in body["messages"]:
        message["content"] = _SPECIAL.sub("< |", message["content"])
    try:
        return orjson.dumps(body).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"The request is not JSON: {error}") from error


def _in_slot(body: str, slot: int | None) -> str:
    return body if slot is None else f'{{"id_slot":{slot},{body[1:]}'


def _checked(raw: str) -> str:
    if not raw.startswith('{"error"'):
        return raw
    error = orjson.loads(raw)["error"]
    kind = error.get("type", "")
    if kind == "exceed_context_size_error":
        details = {"prompt_tokens": error.get("n_prompt_tokens"), "context_tokens": error.get("n_ctx")}
        raise InvalidInput("The prompt is longer than the model's context", details)
    if kind == "invalid_request_error":
        raise InvalidInput(f"The model refuses the request: {error.get('message', '')}")
    raise ModelUnavailable(f"The model failed: {kind}")
