"""Texts read out, outside of any conversation: a text in, a sound file out, while it is being made."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import TextToSpeech, TextToSpeechInfo, Utterance
from voicehelper.rag.language import language_of
from voicehelper.voice.audio_files import FileKind, file_kind
from voicehelper.voice.clauses import ClauseSplitter
from voicehelper.voice.ear_text import EarText

STYLES = frozenset({"friendly", "formal", "apologetic"})
MODELS = frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts"})
"""OpenAI's names, which clients have built in: they get the model there is."""

_FEMALE = ("alloy", "coral", "fable", "marin", "nova", "sage", "shimmer")
_MALE = ("ash", "ballad", "cedar", "echo", "onyx", "verse")
_GENDERS = {**dict.fromkeys(_FEMALE, "female"), **dict.fromkeys(_MALE, "male")}


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to read out.

    Attributes:
        text: as it is written; Markdown, numbers, dates are read as one says them.
        model, voice: names of ours, or of OpenAI's.
        style: of `STYLES`, or empty.
        form: the file's, see `audio_files.file_kind`.
    """

    text: str
    model: str = "tts-1"
    voice: str = ""
    style: str = ""
    speed: float = 1.0
    form: str = "mp3"


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file while it is written. Closing `parts` stops the model."""

    media_type: str
    parts: AsyncGenerator[bytes, None]


async def read_out(tts: TextToSpeech, reading: Reading) -> SoundFile:
    """The sound file of `reading`, empty where nothing in it can be spoken; nothing is synthesised before its first
    part is asked for.

    Raises `InvalidInput` for a model, voice or form there is none of, `ModelUnavailable`. `parts` raise also
    `Overloaded`.
    """
    kind = file_kind(reading.form)
    info = await tts.describe()
    if reading.model not in MODELS | {info.model}:
        raise InvalidInput(f"No model {reading.model!r}", {"models": sorted({info.model, *MODELS})})
    return SoundFile(kind.media_type, _packed(_spoken(tts, info, reading), kind, info.sample_rate))


def voice_of(info: TextToSpeechInfo, name: str, language: str) -> str:
    """Our voice for `name` in `language`; empty for the default. Raises `InvalidInput` with the names there are."""
    if not name or any(voice.name == name for voice in info.voices):
        return name
    gender = _GENDERS.get(name)
    if gender is None:
        raise InvalidInput(f"No voice {name!r}", {"voices": [*(voice.name for voice in info.voices), *_GENDERS]})
    return next((v.name for v in info.voices if v.languages[:1] == (language,) and v.gender == gender), "")


def _utterances(info: TextToSpeechInfo, reading: Reading) -> Iterator[Utterance]:
    """Clause by clause, all in the voice that suits the whole."""
    voice = voice_of(info, reading.voice, language_of(reading.text))
    ear, splitter = EarText(), ClauseSplitter()
    splitter.feed(reading.text)
    splitter.finish()
    while (piece := splitter.take()) is not None:
        language = language_of(piece.text)
        if words := ear.read(piece.text, language):
            yield Utterance(words, language, voice, reading.style, reading.speed)


async def _spoken(tts: TextToSpeech, info: TextToSpeechInfo, reading: Reading) -> AsyncGenerator[bytes, None]:
    for utterance in _utterances(info, reading):
        pieces = cast(AsyncGenerator[bytes, None], tts.synthesize(utterance))
        async with aclosing(pieces):
            async for pcm in pieces:
                yield pcm


async def _packed(pieces: AsyncGenerator[bytes, None], kind: FileKind, rate: int) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        encoder = None
        async for pcm in pieces:
            encoder = encoder or kind.new(rate)
            if part := await asyncio.to_thread(encoder, pcm):
                yield part
        if encoder is not None and (part := await asyncio.to_thread(encoder.finish)):
            yield part
