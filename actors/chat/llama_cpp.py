"""llama.cpp in this process as a `ChatModel`."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from actors.chat.llama_body import llama_body, too_long
from actors.chat.llama_run import Engine, Output, Run
from actors.chat.slots import Seat, Slots, as_tokens
from actors.chat.turns import Turns
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, ModelUnavailable, VoiceHelperError
from voicehelper.ports.chat import ChatEvent, ChatModelInfo, ChatProgress, ChatRequest
from voicehelper.telemetry import get_logger

_log = get_logger(__name__)
CAPABILITIES = frozenset({"stream", "tools", "json_object", "json_schema", "logprobs", "seed", "continue"})
_WORKING = "working"  # no JSON, so no chunk
_READING = '"prompt_progress":{'  # within a text its quotes would be escaped


class LlamaCppChat:
    """Streams from a GGUF model loaded into this process.

    Duties: queue, choose slots, let prompts be read piece by piece and in turns (`turns`, `fairness`), run the engine's
    blocking calls in threads, carry its chunks to the event loop, stop it when the stream is closed.

    Each request goes to the free slot that holds the longest beginning of its prompt. What the first request read is
    saved, and what several at once begin with; it is restored where no free slot holds as much.

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
        self._turns = Turns("chat", parallel, queue)
        self._slots = Slots(parallel)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="llama")
        self._closing = threading.Event()
        self._serving: set[asyncio.Task[None]] = set()
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
        self._turns.check()
        run = await self._begin(request)
        task = asyncio.create_task(self._serve(run))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while (raw := await self._next(run)) is not None:
                for event in run.output.events(raw) if raw != _WORKING else (ChatProgress(),):
                    yield event
        finally:
            run.stop.set()
            self._turns.withdraw(run.ticket)
        yield run.output.done(run.failure, run.in_pieces)

    async def close(self) -> None:
        """Stop every request, then unload the model."""
        self._closing.set()
        self._turns.close()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.to_thread(self._engine.close)

    async def _begin(self, request: ChatRequest) -> Run:
        body = llama_body(request)
        tokens = as_tokens(await asyncio.to_thread(self._engine.tokens, body))
        if len(tokens) >= self._info.context_tokens:
            raise too_long(len(tokens), self._info.context_tokens)
        ticket = self._turns.enter(self._slots.unread(tokens))
        output = Output(request, self._info.model, self._sign_of_life_s)
        return Run(body, tokens, ticket, output, self._closing)

    async def _next(self, run: Run) -> str | None:
        """The next chunk; `_WORKING` where none comes for a while, from an engine that works for others meanwhile."""
        if run.output.speaking:
            return await run.chunks.get()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sign_of_life_s):
                    return await run.chunks.get()
            if time.monotonic() - self._worked_at < 2 * self._sign_of_life_s:
                return _WORKING

    async def _serve(self, run: Run) -> None:
        """Take `run` through the queue and the engine, whoever still listens."""
        seat: Seat | None = None
        try:
            granted = await self._turn(run)
            run.output.begin()
            seat = self._slots.take(run.tokens)
            await self._work(run, seat, granted)
        except VoiceHelperError as error:
            run.failure = error
        except (RuntimeError, ValueError) as error:  # what the binding raises for a C++ exception
            run.failure = ModelUnavailable("The model failed")
            run.failure.__cause__ = error
        finally:
            if seat is not None:
                self._slots.give(seat.slot, run.tokens[: run.read])
            self._turns.leave(run.ticket)
            run.chunks.put_nowait(None)

    async def _turn(self, run: Run) -> int:
        try:
            async with asyncio.timeout(current_context().remaining()):
                return await self._turns.turn(run.ticket)
        except TimeoutError as error:
            raise DeadlineExceeded("Out of time while waiting for the model") from error

    async def _work(self, run: Run, seat: Seat, granted: int) -> None:
        run.read = seat.cached
        if seat.restore and not await self._moved(self._engine.recall, seat.slot, seat.restore):
            run.read = 0
        if run.unread > run.ticket.reader.unread:  # the slot it was to have went to somebody else
            self._turns.read(run.ticket, run.unread)
            granted = await self._turn(run)
        while run.unread > granted:
            run.read += granted
            run.in_pieces += granted
            await self._in_thread(self._engine.read, run.tokens[: run.read].tolist(), seat.slot)
            self._worked_at = time.monotonic()
            self._turns.read(run.ticket, run.unread)
            if run.stopped:
                return
            granted = await self._turn(run)
        await self._in_thread(run.complete, self._engine, seat.slot, self._arrived)
        run.read = len(run.tokens)
        if not run.stopped and (name := self._slots.keep(seat, run.tokens)):
            await self._moved(self._engine.keep, seat.slot, name)

    async def _moved(self, move: Callable[[int, str], None], slot: int, name: str) -> bool:
        """Save or restore a state. One that cannot be (full disk, cleaned folder) is forgotten: it only saves time."""
        try:
            await self._in_thread(move, slot, name)
        except ModelUnavailable as error:
            self._slots.forget(name)
            _log.warning("chat.state_not_moved", error=error.message)
            return False
        return True

    async def _in_thread(self, call: Callable[..., None], *args: object) -> None:
        try:
            future = self._threads.submit(call, *args)
        except RuntimeError as error:  # the pool is shut down
            raise ModelUnavailable("The model is being unloaded") from error
        await asyncio.wrap_future(future)

    def _arrived(self, run: Run, chunk: str) -> None:
        """A chunk for `run`, on the event loop: whoever listens gets it, and others may have a turn after it."""
        self._worked_at = time.monotonic()
        run.chunks.put_nowait(chunk)
        if run.ticket.decoding:
            self._turns.step()
        elif _READING not in chunk:
            self._turns.read(run.ticket, 0)


def _load(path: Path, context_tokens: int, parallel: int, threads: int) -> Engine:
    from actors.chat.engine import LlamaEngine  # noqa: PLC0415 - tests of this class need no engine

    return LlamaEngine(path, context_tokens=context_tokens, parallel=parallel, threads=threads)
