"""One completion: made on the event loop, its last part called in a thread of the pool."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from actors.chat.llama_body import error_of, in_slot
from actors.chat.llama_tools import Calls
from actors.chat.slots import Tokens
from actors.chat.turns import Ticket
from actors.chat.usage import StreamMeter
from actors.chat.wire import read_chunk
from voicehelper.errors import ModelUnavailable, VoiceHelperError
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatProgress,
    ChatRequest,
    ChatUsage,
    FinishReason,
    TokenLogprob,
)


class Engine(Protocol):
    """What `LlamaCppChat` needs of `LlamaEngine`; tests give a fake one."""

    def tokens(self, body: str) -> list[int]:
        """The prompt of a completion, rendered and tokenized. Raises `InvalidInput` when the engine can make none."""
        ...

    def read(self, tokens: Sequence[int], slot: int) -> None:
        """Let `slot` read the beginning of a prompt."""
        ...

    def complete(self, body: str, on_chunk: Callable[[str], bool]) -> None:
        """Run one completion in the calling thread."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        ...

    def keep(self, slot: int, name: str) -> None:
        """Save what `slot` has read."""
        ...

    def recall(self, slot: int, name: str) -> None:
        """Give `slot` what was saved so."""
        ...

    def close(self) -> None:
        """Unload."""
        ...


class Run:
    """A completion's way through the engine.

    Attributes:
        chunks: what came from the engine, None at the end.
        stop: set when nobody reads them any more.
        read: tokens of the prompt that its slot has read.
        in_pieces: tokens of it that were read before its last piece.
        failure: why it ended before its time.
        output: what the chunks say.
    """

    def __init__(self, body: str, tokens: Tokens, ticket: Ticket, output: "Output", closing: threading.Event) -> None:
        self.body = body
        self.tokens = tokens
        self.ticket = ticket
        self.output = output
        self.chunks: asyncio.Queue[str | None] = asyncio.Queue()
        self.stop = threading.Event()
        self.read = 0
        self.in_pieces = 0
        self.failure: VoiceHelperError | None = None
        self._closing = closing
        self._loop = asyncio.get_running_loop()

    @property
    def unread(self) -> int:
        """Tokens of the prompt that are still to be read."""
        return len(self.tokens) - self.read

    @property
    def stopped(self) -> bool:
        """Whether to stop. An interpreter that exits joins the pool's threads first: without the last test it would
        wait for the whole answer."""
        return self.stop.is_set() or self._closing.is_set() or not threading.main_thread().is_alive()

    def complete(self, engine: Engine, slot: int, arrived: Callable[["Run", str], None]) -> None:
        """Read the rest and produce the output, in this thread; each chunk goes to `arrived` on the event loop."""

        def on_chunk(chunk: str) -> bool:
            return self.stopped or not _on_loop(self._loop, arrived, self, chunk)

        if not self.stopped:
            engine.complete(in_slot(self.body, slot), on_chunk)


class Output:
    """Reads what the engine streams for `request`. `sign_of_life_s`: a prompt being read shows that often."""

    def __init__(self, request: ChatRequest, model: str, sign_of_life_s: float) -> None:
        self._request = request
        self._calls = Calls([tool.name for tool in request.tools if request.tool_choice != "none"])
        self._model = model
        self._sign_of_life_s = sign_of_life_s
        self._meter: StreamMeter | None = None
        self._told = time.monotonic()
        self._finish: FinishReason | None = None
        self._usage = ChatUsage()
        self._logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def speaking(self) -> bool:
        """Whether output came."""
        return self._meter is not None and self._meter.speaking

    def begin(self) -> None:
        """The engine begins."""
        self._meter = StreamMeter(self._model)

    def events(self, raw: str) -> Iterator[ChatEvent]:
        """What a chunk says. Raises the engine's error where it is one."""
        if (error := error_of(raw)) is not None:
            raise error
        chunk = read_chunk(raw)
        self._usage = chunk.usage or self._usage
        self._logprobs += tuple(self._asked(logprob) for logprob in chunk.logprobs)
        text, calls = self._calls.shown(chunk.text), list(chunk.tools)
        if chunk.finish:
            rest, found = self._calls.ended()
            text, calls = text + rest, calls + found
            self._finish = "tool_calls" if found else chunk.finish
        if self._meter is not None and (text or calls):
            self._meter.text()
        if text:  # of a token that is half a character, the text comes with the next
            yield ChatDelta(text, self._logprobs)
            self._logprobs = ()
        yield from calls
        if chunk.progress and time.monotonic() - self._told > self._sign_of_life_s:
            self._told = time.monotonic()
            yield ChatProgress()

    def _asked(self, logprob: TokenLogprob) -> TokenLogprob:
        return replace(logprob, top=logprob.top[: self._request.logprobs])

    def done(self, failure: VoiceHelperError | None, in_pieces: int) -> ChatDone:
        """The last event; `in_pieces` tokens were read before, and are no earlier request's.

        Raises `failure`, or `ModelUnavailable`, when the stream ended before its time.
        """
        if self._finish is None:
            raise failure or ModelUnavailable("The model is being unloaded")
        usage = replace(self._usage, cached_tokens=max(0, self._usage.cached_tokens - in_pieces))
        if self._meter is not None:
            self._meter.done(usage)
        return ChatDone(self._finish, usage, self._model)


def _on_loop(loop: asyncio.AbstractEventLoop, call: Any, *args: Any) -> bool:
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:  # the loop is closed: nobody is left to tell
        return False
    return True
