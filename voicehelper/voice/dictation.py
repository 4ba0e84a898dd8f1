"""Writing down a whole recording: cut in its silences, piece by piece, beside the calls that are going on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from voicehelper.errors import Overloaded
from voicehelper.ids import new_id
from voicehelper.ports.speech import INPUT_RATE, Recognition, SpeechToText, Transcript
from voicehelper.voice.audio_files import decode_file
from voicehelper.voice.cutting import cut

_PIECE_S = 28.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How a recording is to be written down; as in `Recognition`."""

    language: str = ""
    hot_words: tuple[str, ...] = ()
    words: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the recording (seconds from its start) and what is said in it; times of words likewise."""

    start_s: float
    end_s: float
    transcript: Transcript


class Recording:
    """A recording that is being written down."""

    def __init__(self, stt: SpeechToText, pcm: bytes) -> None:
        self._stt = stt
        self._pcm = pcm

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self._pcm) / 2 / INPUT_RATE

    async def passages(self, wish: Wish) -> AsyncIterator[Passage]:
        """The passages in order; silence has none. Where no language is named, the first passage's is that of all.

        Raises `Overloaded`, `ModelUnavailable`.
        """
        longest = min(_PIECE_S, (await self._stt.describe()).longest_s)
        request = Recognition(b"", f"recording {new_id()}", True, wish.language, wish.hot_words, wish.words)
        for start, end in await asyncio.to_thread(cut, self._pcm, longest):
            transcript = await self._stt.transcribe(replace(request, audio=self._pcm[2 * start : 2 * end]))
            if transcript.text:
                request = replace(request, language=request.language or transcript.language)
                yield _passage(start / INPUT_RATE, end / INPUT_RATE, transcript)


class Dictation:
    """Writes recordings down.

    Args:
        stt: the recogniser; a recording has one request with it at a time, so that calls get their turns.
        longest_s: longer recordings are refused.
        at_once: recordings in work, whose samples lie in memory.
    """

    def __init__(self, stt: SpeechToText, longest_s: float = 1800.0, at_once: int = 4) -> None:
        self._stt = stt
        self._longest_s = longest_s
        self._at_once = at_once
        self._running = 0

    async def model(self) -> str:
        """The recogniser's name. Raises `ModelUnavailable` where there is none."""
        return (await self._stt.describe()).model

    @asynccontextmanager
    async def open(self, file: bytes) -> AsyncIterator[Recording]:
        """Take a sound file in work. Raises what `decode_file` does, and `Overloaded`."""
        if self._running >= self._at_once:
            raise Overloaded("Enough recordings are being written down", retry_after=5.0)
        self._running += 1
        try:
            yield Recording(self._stt, await asyncio.to_thread(decode_file, file, self._longest_s))
        finally:
            self._running -= 1


def _passage(start_s: float, end_s: float, transcript: Transcript) -> Passage:
    words = tuple(replace(w, start_s=w.start_s + start_s, end_s=w.end_s + start_s) for w in transcript.words)
    return Passage(start_s, end_s, replace(transcript, words=words))
