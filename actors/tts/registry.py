"""Which class serves which `settings.tts.backend`. Libraries are imported only by the backend that needs them."""

import os
from collections.abc import AsyncGenerator, Callable

from voicehelper.config import Settings
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.speech import FakeTextToSpeech, TextToSpeech, TextToSpeechInfo, Utterance


def build_text_to_speech(settings: Settings) -> TextToSpeech:
    """The synthesiser that `settings.tts` describes, ready to speak.

    Loading a local model takes seconds and blocks: call it where a process starts. Raises `ModelUnavailable` when a
    file is missing or cannot be loaded, `InvalidInput` for a default voice that does not exist.
    """
    return _BACKENDS[settings.tts.backend](settings)


class NoTextToSpeech:
    """Implements `TextToSpeech` where there is none: says why."""

    def __init__(self, why: str = "Speech synthesis is switched off") -> None:
        self._why = why

    async def describe(self) -> TextToSpeechInfo:
        """Raises `ModelUnavailable`."""
        raise ModelUnavailable(self._why)

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        """Raises `ModelUnavailable`."""
        await self.describe()
        yield b""


def _kokoro(settings: Settings) -> TextToSpeech:
    from actors.tts.kokoro import KokoroSpeech  # noqa: PLC0415
    from voicehelper.embedded.models import model_path  # noqa: PLC0415

    tts = settings.tts
    return KokoroSpeech(
        model_path(settings, tts.model),
        model=tts.model,
        voice=tts.voice,
        threads=tts.threads or len(os.sched_getaffinity(0)),
        parallel=tts.parallel,
        queue=tts.queue,
    )


def _openai(settings: Settings) -> TextToSpeech:
    from actors.tts.openai_compatible import OpenAISpeech  # noqa: PLC0415

    tts = settings.tts
    key = tts.api_key.get_secret_value()
    return OpenAISpeech(tts.base_url, key, model=tts.model, voice=tts.voice, parallel=tts.parallel, queue=tts.queue)


def _azure(settings: Settings) -> TextToSpeech:
    from actors.tts.azure import AzureSpeech  # noqa: PLC0415

    tts = settings.tts
    return AzureSpeech(
        tts.region,
        tts.api_key.get_secret_value(),
        voice=tts.voice,
        base_url=tts.base_url,
        parallel=tts.parallel,
        queue=tts.queue,
    )


def _xtts(settings: Settings) -> TextToSpeech:
    from actors.tts.xtts import XttsSpeech  # noqa: PLC0415 - torch

    return XttsSpeech(voice=settings.tts.voice, queue=settings.tts.queue)


def _off(_settings: Settings) -> TextToSpeech:
    return NoTextToSpeech()


def _fake(_settings: Settings) -> TextToSpeech:
    return FakeTextToSpeech()


_BACKENDS: dict[str, Callable[[Settings], TextToSpeech]] = {
    "kokoro": _kokoro,
    "openai": _openai,
    "azure": _azure,
    "xtts": _xtts,
    "off": _off,
    "fake": _fake,
}
