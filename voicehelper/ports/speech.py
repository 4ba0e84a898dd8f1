"""Speech: audio to text, text to audio, and what is heard in audio beside words.

Audio that crosses these ports is PCM, signed 16 bit, little-endian, mono.
"""

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

INPUT_RATE = 16_000
"""Samples per second of everything that is listened to."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word (in Chinese: a character or a few) with its time in seconds from the start of the audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """An utterance to write down.

    Attributes:
        audio: PCM at `INPUT_RATE`, from the utterance's start to now.
        stream: names the utterance: a later request of the same stream makes an earlier one, if it still waits,
            pointless; streams share the model fairly.
        final: the utterance has ended; final requests go before partial ones.
        language: ISO 639-1 (`zh`, `en`); empty to detect it.
        hot_words: names and terms to expect.
        words: whether to give times of words.
    """

    audio: bytes
    stream: str
    final: bool = True
    language: str = ""
    hot_words: tuple[str, ...] = ()
    words: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        text: simplified Chinese by default; empty where nobody spoke.
        language: ISO 639-1, as set or detected.
        confidence: 0 to 1.
        words: with times, where asked for and known.
        superseded: a partial that was skipped for a later request of its stream; says nothing.
    """

    text: str
    language: str = ""
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class SpeechToTextInfo:
    """The recogniser. Without `partials`, it is asked only for whole utterances (a remote one, paid by the request)."""

    model: str
    provider: str
    partials: bool = True
    longest_s: float = 30.0


class SpeechToText(Protocol):
    """Writes speech down."""

    async def describe(self) -> SpeechToTextInfo:
        """The recogniser behind this port."""
        ...

    async def transcribe(self, request: Recognition) -> Transcript:
        """The text of the utterance so far. Cancelling takes a waiting request out of the queue.

        Raises `InvalidInput` for audio longer than the model takes, `Overloaded`, `ModelUnavailable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Utterance:
    """Text to say: one clause or sentence, already written as it is spoken (no digits, no Markdown).

    Attributes:
        language: ISO 639-1 of most of it; words of another language within are said in theirs.
        voice: one of the model's; empty for its default in the language.
        style: `friendly`, `formal`, `apologetic`, or empty. Models without styles vary speed and pauses.
        speed: 1.0 is normal.
    """

    text: str
    language: str = "zh"
    voice: str = ""
    style: str = ""
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of a model."""

    name: str
    languages: tuple[str, ...]
    gender: str = ""


@dataclass(frozen=True, slots=True)
class TextToSpeechInfo:
    """The synthesiser. `styles` lists those it really has; the others are stand-ins by speed and pauses.

    Attributes:
        deterministic: the same utterance gives the same samples, so that it can be made again and continued anywhere.
    """

    model: str
    provider: str
    sample_rate: int
    voices: tuple[Voice, ...]
    styles: tuple[str, ...] = ()
    deterministic: bool = True


class TextToSpeech(Protocol):
    """Says text."""

    async def describe(self) -> TextToSpeechInfo:
        """The synthesiser behind this port."""
        ...

    def synthesize(self, utterance: Utterance) -> AsyncIterator[bytes]:
        """PCM at the model's `sample_rate`, piece by piece as it is made. An async generator: closing it stops the
        model.

        Raises `InvalidInput` for an unknown voice or text that is too long, `Overloaded`, `ModelUnavailable`.
        """
        ...


class VoiceActivity(Protocol):
    """Hears whether somebody speaks: one object per session, fed in order."""

    frame_samples: int

    def probabilities(self, frames: bytes) -> list[float]:
        """Probability (0 to 1) that each frame (`frame_samples` of PCM at `INPUT_RATE`) is speech. Takes well under a
        millisecond; several frames at once cost less than one by one."""
        ...

    def reset(self) -> None:
        """Forget what was heard before."""
        ...


class VoiceActivityDetector(Protocol):
    """The model behind `VoiceActivity`, shared by all sessions of a process."""

    def listen(self) -> VoiceActivity:
        """For a new session."""
        ...


class TurnDetector(Protocol):
    """Hears from the sound alone whether a speaker has finished."""

    async def finished(self, audio: bytes) -> float:
        """Probability (0 to 1) that the turn is over, from its PCM at `INPUT_RATE` (the last 8 s count)."""
        ...


class FakeSpeechToText:
    """Answers `texts` in turn for final requests (partials: as much of the next text as the audio's share of
    `seconds_per_text`), after `delay` seconds. Keeps the requests."""

    def __init__(self, texts: Sequence[str] = ("你好",), delay: float = 0.0, seconds_per_text: float = 1.0) -> None:
        self.texts = list(texts)
        self.delay = delay
        self.seconds_per_text = seconds_per_text
        self.requests: list[Recognition] = []
        self.finals = 0

    async def describe(self) -> SpeechToTextInfo:
        """A made-up model."""
        return SpeechToTextInfo("fake-stt", "fake")

    async def transcribe(self, request: Recognition) -> Transcript:
        """The scripted text."""
        self.requests.append(request)
        if self.delay:
            await asyncio.sleep(self.delay)
        text = self.texts[self.finals % len(self.texts)]
        if request.final:
            self.finals += 1
            return Transcript(text, request.language or "zh")
        share = len(request.audio) / 2 / INPUT_RATE / self.seconds_per_text
        return Transcript(text[: int(len(text) * min(share, 1.0))], request.language or "zh")


class FakeTextToSpeech:
    """A tone of `seconds_per_char` a character, in pieces of a tenth of a second, the first after `delay` seconds."""

    def __init__(self, delay: float = 0.0, seconds_per_char: float = 0.2, sample_rate: int = 24_000) -> None:
        self.delay = delay
        self.seconds_per_char = seconds_per_char
        self.sample_rate = sample_rate
        self.utterances: list[Utterance] = []
        self.stopped = 0

    async def describe(self) -> TextToSpeechInfo:
        """A made-up model."""
        return TextToSpeechInfo("fake-tts", "fake", self.sample_rate, (Voice("fake", ("zh", "en")),))

    async def synthesize(self, utterance: Utterance) -> AsyncIterator[bytes]:
        """The tone."""
        self.utterances.append(utterance)
        total = int(len(utterance.text) * self.seconds_per_char * self.sample_rate)
        wave = _tone(self.sample_rate)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            step = self.sample_rate // 10
            for start in range(0, total, step):
                place = start % self.sample_rate
                yield wave[place : place + min(step, total - start)].tobytes()
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise


@cache
def _tone(sample_rate: int) -> "array[int]":
    """A second of it. Made once: tests serve everybody from one event loop, and sines in Python take long."""
    return array("h", (int(8000 * math.sin(n * 440 * math.tau / sample_rate)) for n in range(sample_rate)))


class FakeVoiceActivity:
    """Speech is whatever is louder than `threshold` (of full scale)."""

    frame_samples = 512

    def __init__(self, threshold: float = 0.02) -> None:
        self.threshold = threshold

    def listen(self) -> "FakeVoiceActivity":
        """It remembers nothing, so all sessions share it."""
        return self

    def probabilities(self, frames: bytes) -> list[float]:
        """1 or 0."""
        size = 2 * self.frame_samples
        return [self._loud(array("h", frames[at : at + size])) for at in range(0, len(frames) - size + 1, size)]

    def _loud(self, samples: "array[int]") -> float:
        loudness = math.sqrt(sum(value * value for value in samples) / len(samples)) / 32768
        return 1.0 if loudness > self.threshold else 0.0

    def reset(self) -> None:
        """Nothing to forget."""


class NullTurnDetector:
    """Knows nothing: silence and words decide."""

    async def finished(self, audio: bytes) -> float:
        """Even odds."""
        return 0.5
