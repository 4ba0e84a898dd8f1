"""From chunks, whichever vendor's they were, to the events of the port."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.chat.usage import StreamMeter
from actors.chat.wire import Chunk
from voicehelper.errors import (
    BrokenStream,
    ContentFiltered,
    ModelSilent,
    ModelUnavailable,
    Overloaded,
    VoiceHelperError,
)
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatProgress,
    ChatUsage,
    FinishReason,
)

_SIGN_OF_LIFE_S = 5.0
# What an interruption is called depends on whether something was said before it.
_INTERRUPTIONS = (ModelUnavailable, Overloaded)
_SOME_ERRORS_LAST = (ModelSilent, BrokenStream)


class Reading:
    """The state of one answer as it is read.

    Args:
        metered: the model's name in metrics.
        model: the name to report in `ChatDone`.
    """

    def __init__(self, metered: str, model: str) -> None:
        self._meter = StreamMeter(metered)
        self._model = model
        self._finish: FinishReason | None = None
        self._raw_finish = ""
        self._usage: ChatUsage | None = None
        self._refused = False
        self._told = time.monotonic()

    def add(self, chunk: Chunk, events: list[ChatEvent]) -> None:
        """Take `chunk` in; what it says is appended to `events`."""
        if chunk.text or chunk.logprobs:
            self._meter.text()
            events.append(ChatDelta(chunk.text, chunk.logprobs))
        if chunk.tools:
            self._meter.text()
            events.extend(chunk.tools)
        if chunk.finish:
            self._finish, self._raw_finish = chunk.finish, chunk.raw_finish
        if chunk.usage:
            self._usage = chunk.usage
        if chunk.refused:
            self._refused = True

    def sign_of_life(self) -> list[ChatEvent]:
        """Something came that says nothing: tell so now and then, before the answer begins."""
        now = time.monotonic()
        if self._meter.speaking or now - self._told < _SIGN_OF_LIFE_S:
            return []
        self._told = now
        return [ChatProgress()]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors within the block get the meaning they have at this place of the answer."""
        try:
            yield
        except _INTERRUPTIONS as error:
            if not self._meter.speaking or isinstance(error, _SOME_ERRORS_LAST):
                raise
            raise BrokenStream() from error

    def end(self) -> ChatDone:
        """The last event, once the stream is over. Raises `BrokenStream` where it was not complete, `ContentFiltered`
        where nothing was let through."""
        if (self._finish == "content_filter" or self._refused) and not self._meter.speaking:
            raise ContentFiltered()
        if self._finish is None or self._raw_finish in _BROKEN_OFF:
            raise self._incomplete()
        usage = self._usage or ChatUsage()
        self._meter.done(usage)
        return ChatDone(self._finish, usage, self._model)

    def cut(self, said: str) -> ChatDone:
        """The last event of an answer that is left at one of the request's stop words; `said` was its text. What it
        used is what was told so far, or an estimate."""
        usage = self._usage or ChatUsage()
        usage = ChatUsage(usage.prompt_tokens, max(usage.completion_tokens, estimate_tokens(said)), usage.cached_tokens)
        self._meter.done(usage)
        return ChatDone("stop", usage, self._model)

    def _incomplete(self) -> VoiceHelperError:
        return BrokenStream() if self._meter.speaking else BrokenStream("The model server broke off before its answer")


# DeepSeek's: its servers were too busy to go on.
_BROKEN_OFF = frozenset({"insufficient_system_resource"})
