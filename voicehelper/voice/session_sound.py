"""Where a session's sound goes: kept first, then sent, and told to the core."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from voicehelper.errors import VoiceHelperError
from voicehelper.voice import model
from voicehelper.voice.outputs import AnswerSaid, ClauseSaid, ErrorNotice, Frame, Output
from voicehelper.voice.session_latency import Latencies
from voicehelper.voice.store import Fenced
from voicehelper.voice.timeline import Clause


class SoundOut:
    """`speaker.Sink` of one session.

    Args:
        feed: takes events for the core.
        put: takes outputs.
        changed: told that the session's snapshot is another now.
        kept: returns when everything that happened so far is in the store.
        asks: whether a turn's answer ends with a question.
    """

    def __init__(
        self,
        latencies: Latencies,
        *,
        feed: Callable[[model.Event], None],
        put: Callable[[Output], None],
        changed: Callable[[], None],
        kept: Callable[[], Coroutine[Any, Any, None]],
        asks: Callable[[int], bool],
    ) -> None:
        self.playing = asyncio.Event()
        self._latencies = latencies
        self._feed = feed
        self._put = put
        self._changed = changed
        self._kept = kept
        self._asks = asks

    async def frame(self, frame: Frame) -> None:
        """See `Sink`."""
        self.playing.set()
        self._put(frame)

    async def clause(self, clause: Clause) -> None:
        """See `Sink`. Whoever takes the session over must know what was said: it is kept before it is heard."""
        await self._sure()
        if clause.acknowledgement:
            self._latencies.acknowledged(clause.turn)
        self._feed(model.AnswerClause(clause.turn, clause.spoken))
        said = (clause.turn, clause.start, clause.samples, clause.text, clause.spoken, clause.acknowledgement)
        self._put(ClauseSaid(*said))

    async def sounding(self, turn: int, sample: int) -> None:
        """See `Sink`."""
        self._feed(model.AnswerSounding(turn, sample))
        facts = self._latencies.sounding(turn)
        if facts is not None:
            self._put(facts)

    async def paused(self, turn: int, end: int) -> None:
        """See `Sink`."""
        self._feed(model.AnswerPaused(turn, end))

    async def spoken(self, turn: int, end: int) -> None:
        """See `Sink`. Whoever takes the session over must know that this was all, and how long it is."""
        self._feed(model.AnswerSpoken(turn, end, self._asks(turn)))
        await self._sure()
        self._put(AnswerSaid(turn, end))

    async def _sure(self) -> None:
        self._changed()
        try:
            await self._kept()
        except Fenced:
            await asyncio.Event().wait()  # somebody else says it; this is cancelled in a moment

    async def unspoken(self, turn: int, error: VoiceHelperError) -> None:
        """See `Sink`."""
        self._put(ErrorNotice(error, turn))
        self._feed(model.AnswerFailed(turn, error.code))
