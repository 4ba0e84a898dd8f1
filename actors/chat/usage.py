"""Counts tokens and their speed as one stream goes by."""

import time

from voicehelper.ports.chat import ChatUsage
from voicehelper.telemetry.metrics import CHAT_FIRST_TOKEN_SECONDS, CHAT_TOKENS, CHAT_TOKENS_PER_SECOND


class StreamMeter:
    """Made when the engine gets the request; `text` at each piece, `done` at the end: writes the time to the first
    piece, the token counters and the decoding speed of `model`."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = time.perf_counter()
        self._first: float | None = None

    @property
    def speaking(self) -> bool:
        """Whether a piece of text came."""
        return self._first is not None

    def text(self) -> None:
        """A piece of text came; speed counts from the first one."""
        if self._first is None:
            self._first = time.perf_counter()
            CHAT_FIRST_TOKEN_SECONDS.labels(self._model).observe(self._first - self._started)

    def done(self, usage: ChatUsage) -> None:
        """The stream ended well with `usage`."""
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ):
            CHAT_TOKENS.labels(self._model, kind).inc(tokens)
        if self._first is not None and usage.completion_tokens > 1:
            seconds = time.perf_counter() - self._first
            if seconds > 0:
                CHAT_TOKENS_PER_SECOND.labels(self._model).observe((usage.completion_tokens - 1) / seconds)
