"""An answer on its way from text to sound: clauses, each made while the one before it is being sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from voicehelper.errors import VoiceHelperError
from voicehelper.rag.language import language_of
from voicehelper.voice.clauses import ClauseSplitter, Piece
from voicehelper.voice.ear_text import EarText
from voicehelper.voice.speaker_resume import where_to_go_on
from voicehelper.voice.speaker_voice import Sound, SpeakingVoice
from voicehelper.voice.timeline import Clause

_STALL_S = 0.7  # no more text for so long: what there is may be said


@dataclass(frozen=True, slots=True)
class Told:
    """A clause whose sound is being made; `before` is what it was in an earlier life of the session."""

    text: str
    chars_from: int
    chars_to: int
    spoken: str
    language: str
    sound: Sound
    before: Clause | None = None


class Telling:
    """Clauses of one answer, in order.

    Args:
        voice: makes the sound.
        text: the answer as it is written; an error of ours in it ends the telling after what came before it.
        language: ISO 639-1; empty to go by the text.
        said: what of the answer was said before, in an earlier life of the session.
        again: clauses of `said` that were not heard to their end.
    """

    def __init__(
        self,
        voice: SpeakingVoice,
        text: AsyncIterator[str],
        language: str,
        said: str = "",
        again: Sequence[Clause] = (),
    ) -> None:
        self._voice = voice
        self._source = text
        self._language = language
        self._said = said
        self._again = again
        self._splitter = ClauseSplitter(first=not again)
        self._ear = EarText()
        self._news = asyncio.Event()
        self._placed = not said
        self._ended = False
        self._queue: asyncio.Queue[Told | None] = asyncio.Queue(1)
        self.error: VoiceHelperError | None = None

    @property
    def chars(self) -> int:
        """Characters of the answer so far."""
        return len(self._splitter.text)

    async def read(self) -> None:
        """Take the text as it comes."""
        try:
            async for delta in self._source:
                self._splitter.feed(delta)
                self._news.set()
        except VoiceHelperError as error:
            self.error = error
        self._ended = True
        self._splitter.finish()
        self._news.set()

    async def make(self) -> None:
        """Make sound as long as there is text; the queue's one place is what keeps it no further ahead."""
        for clause in self._again:
            await self._put(Told(*_of(clause), Sound(), clause))
        begin: int | None = None
        while (piece := await self._next()) is not None:
            begin = piece.start if begin is None else begin
            language = self._language_of(piece.text)
            spoken = self._ear.read(piece.text, language)
            if spoken:
                text = self._splitter.text[begin : piece.end]
                await self._put(Told(text, begin, piece.end, spoken, language, Sound()))
                begin = None
        await self._queue.put(None)

    def _language_of(self, text: str) -> str:
        """A clause is read in its own language; one without words in that of those before it."""
        if any(char.isalpha() for char in text):
            self._language = language_of(text)
        return self._language or language_of(text)

    async def next(self) -> Told | None:
        """The next clause; None after the last."""
        return await self._queue.get()

    async def _put(self, told: Told) -> None:
        await self._queue.put(told)
        await self._voice.make(told.spoken, told.language, told.sound)

    async def _next(self) -> Piece | None:
        while True:
            self._news.clear()
            if piece := self._take():
                return piece
            if self._ended:
                return None
            if not await self._more() and (piece := self._take(stalled=True)):
                return piece

    async def _more(self) -> bool:
        """Wait for text; False when none came for a while."""
        try:
            async with asyncio.timeout(_STALL_S):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _take(self, stalled: bool = False) -> Piece | None:
        if not self._placed:
            place = where_to_go_on(self._said, self._splitter.text, self._ended)
            if place is None:
                return None
            self._splitter.skip(place)
            self._placed = True
        return self._splitter.take(stalled)


def _of(clause: Clause) -> tuple[str, int, int, str, str]:
    return clause.text, clause.chars_from, clause.chars_to, clause.spoken, clause.language
