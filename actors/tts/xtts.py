"""XTTS v2 by coqui-tts, on a GPU: extra `torch`. The library fetches its model itself, under its own licence (CPML)."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from actors.tts.line import Line
from actors.tts.remote import checked_voice
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.speech import TextToSpeechInfo, Utterance, Voice

RATE = 24_000
_MODEL = "tts_models/multilingual/multi-dataset/xtts_v2"
_LANGUAGES = {"zh": "zh-cn", "en": "en"}


class XttsSpeech:
    """Implements `TextToSpeech`: streams while it decodes, one utterance at a time. Sampling makes every take another,
    so it is not deterministic. Raises `ModelUnavailable` where the extra is missing or the model cannot be loaded.

    Args:
        voice: default speaker; empty for the model's first.
        device: `cuda` or `cpu` (too slow to talk with).
        queue: utterances waiting.
    """

    def __init__(self, *, voice: str = "", device: str = "cuda", queue: int = 64) -> None:
        try:
            from TTS.api import TTS  # noqa: PLC0415 - torch takes seconds to import

            self._model: Any = TTS(_MODEL).to(device).synthesizer.tts_model
        except (ImportError, OSError, RuntimeError) as error:
            raise ModelUnavailable("XTTS cannot be loaded: is the extra `torch` installed?") from error
        self._speakers = self._model.speaker_manager.speakers
        voices = tuple(Voice(name, tuple(_LANGUAGES)) for name in self._speakers)
        self._info = TextToSpeechInfo("xtts_v2", "xtts", RATE, voices, deterministic=False)
        self._default = voice
        self._line = Line("tts", 1, queue)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="xtts")

    async def describe(self) -> TextToSpeechInfo:
        """See `TextToSpeech`."""
        return self._info

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. Closing the generator ends the decoding at its next piece."""
        voice = checked_voice(utterance.voice or self._default, self._info.voices, utterance.language)
        if not utterance.text.strip():
            return
        with self._line.utterance():
            await self._line.acquire(0)
            try:
                loop, pieces = asyncio.get_running_loop(), self._pieces(utterance, voice)
                while (piece := await loop.run_in_executor(self._threads, next, pieces, None)) is not None:
                    yield piece
            finally:
                self._line.release()

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pieces(self, utterance: Utterance, voice: str) -> Iterator[bytes]:
        speaker = self._speakers[voice]
        stream = self._model.inference_stream(
            utterance.text,
            _LANGUAGES.get(utterance.language, utterance.language),
            speaker["gpt_cond_latent"],
            speaker["speaker_embedding"],
            speed=utterance.speed,
        )
        for chunk in stream:
            samples = np.clip(chunk.squeeze().float().cpu().numpy(), -1, 1)
            yield (samples * 32767).round().astype("<i2").tobytes()
