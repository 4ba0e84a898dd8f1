"""The synthesis actor: Kokoro-82M (int8) on onnxruntime, Chinese and English."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from actors.listening.onnx import open_model
from actors.tts.line import Line
from actors.tts.phonemes import Phonemizer, Piece, pieces
from actors.tts.phonemes.spelling import Spelling
from actors.tts.phonemes.symbols import numbers
from actors.tts.sound import Samples, finished
from actors.tts.voices import NAMES, Voices, describe
from voicehelper.errors import InvalidInput, ModelUnavailable
from voicehelper.ports.speech import TextToSpeechInfo, Utterance
from voicehelper.telemetry import stage

RATE = 24_000
LONGEST_TEXT = 8_000
SLOWEST, FASTEST = 0.5, 2.0
_WARM_UP = (Utterance("您好，请问 VIP 有什么可以帮您？"), Utterance("How can I help you today?", "en"))


@dataclass(frozen=True, slots=True)
class Manner:
    """A stand-in for a style the model does not have."""

    speed: float = 1.0
    pauses: float = 1.0


_MANNERS = {
    "": Manner(),
    "friendly": Manner(speed=1.05, pauses=0.9),
    "formal": Manner(speed=0.95, pauses=1.15),
    "apologetic": Manner(speed=0.9, pauses=1.3),
}


class KokoroSpeech:
    """Implements `TextToSpeech`. Piece after piece in threads (onnxruntime releases the GIL); the same utterance gives
    the same samples, whatever the threads and the process.

    Styles are speed and pauses. Speeds beyond 0.5 to 2 are taken for those. Building blocks for about two seconds.
    Raises `ModelUnavailable` when a file is missing or wrong.

    Args:
        folder: holds the model, `voices.bin` and `letters.npz`, under the names of the manifest.
        model: what `describe` calls it.
        voice: default voice; empty for the first one of each language.
        threads: of one piece.
        parallel: pieces at the same time.
        queue: utterances beyond those.
    """

    def __init__(
        self, folder: Path, *, model: str, voice: str = "", threads: int = 1, parallel: int = 2, queue: int = 64
    ) -> None:
        try:
            self._voices = Voices(folder / "voices.bin", voice)
            self._phonemizer = Phonemizer(Spelling(folder / "letters.npz"))
        except OSError as error:
            raise ModelUnavailable(f"A file of {model} is missing") from error
        self._model = open_model(folder / "model.onnx", threads)
        self._info = TextToSpeechInfo(model, "kokoro", RATE, tuple(map(describe, NAMES)))
        self._line = Line("tts", parallel, queue)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="kokoro")
        for utterance in _WARM_UP:
            self.say(utterance)

    async def describe(self) -> TextToSpeechInfo:
        """See `TextToSpeech`. `styles` is empty: the model has none."""
        return self._info

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`: PCM at 24 kHz, one piece (a sentence, a long clause) at a time."""
        plan = self._plan(utterance)
        with self._line.utterance():
            for number, piece in enumerate(plan.pieces):
                await self._line.acquire(number)
                with stage("tts.piece"):
                    sound = await self._in_thread(plan, piece)
                if sound:
                    yield sound

    def say(self, utterance: Utterance) -> bytes:
        """All of it, made in the calling thread. Raises `InvalidInput`."""
        plan = self._plan(utterance)
        return b"".join(self._make(plan, piece, onnxruntime.RunOptions()) for piece in plan.pieces)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _plan(self, utterance: Utterance) -> "_Plan":
        if len(utterance.text) > LONGEST_TEXT:
            raise InvalidInput("The text is too long to be said at once", {"longest": LONGEST_TEXT})
        manner = _MANNERS.get(utterance.style)
        if manner is None:
            raise InvalidInput(f"No style {utterance.style!r}", {"styles": [name for name in _MANNERS if name]})
        voice = self._voices.choose(utterance.voice, utterance.language)
        chinese_voice = describe(voice).languages[0] == "zh"
        speed = min(max(utterance.speed * manner.speed, SLOWEST), FASTEST)
        return _Plan(
            pieces(self._phonemizer(utterance.text, utterance.language, chinese_voice)),
            voice,
            speed,
            manner.pauses / speed,
        )

    async def _in_thread(self, plan: "_Plan", piece: Piece) -> bytes:
        """Cancelling stops the model within some milliseconds; only then has the next piece its turn."""
        options = onnxruntime.RunOptions()
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._make, plan, piece, options)
        work.add_done_callback(lambda _: self._line.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            options.terminate = True
            work.add_done_callback(lambda done: done.exception())  # stopped on purpose: nobody asks why
            raise

    def _make(self, plan: "_Plan", piece: Piece, options: Any) -> bytes:
        return finished(self._run(plan, piece, options), RATE, piece.pause_ms * plan.pauses)

    def _run(self, plan: "_Plan", piece: Piece, options: Any) -> Samples:
        tokens = numbers(piece.phonemes)
        given = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self._voices.style(plan.voice, len(tokens)),
            "speed": np.array([plan.speed], np.float32),
        }
        try:
            samples: Samples = self._model.run(None, given, options)[0].ravel()
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ModelUnavailable("The voice failed") from error
        return samples


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one utterance is said."""

    pieces: list[Piece]
    voice: str
    speed: float
    pauses: float
