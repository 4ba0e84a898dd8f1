"""The end-of-turn actor: Smart Turn v3, which hears from the last 8 s of sound whether a speaker has finished.

Smart Turn is Pipecat's (BSD-2-Clause, Copyright (c) 2024-2026, Daily): Whisper tiny's encoder with a head of its own.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.listening.log_mel import LogMel
from actors.listening.onnx import open_model
from voicehelper.config import Settings
from voicehelper.embedded.models import model_path
from voicehelper.ports.speech import INPUT_RATE, NullTurnDetector, TurnDetector

_SAMPLES = 8 * INPUT_RATE
_EVEN_ODDS = 0.5
_TINY = 1e-7


class SmartTurn:
    """Implements `TurnDetector`: some 35 ms of one core for each judgement, in a thread of its own.

    Judgements come one after the other. Beyond `waiting` of them it says "even odds" at once: a late answer is worth
    nothing, since silence alone has ended the turn by then. Raises `ModelUnavailable`.
    """

    def __init__(self, path: Path, waiting: int = 8) -> None:
        self._model = open_model(path)
        self._spectrum = LogMel()
        self._room = waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="smart-turn")

    async def finished(self, audio: bytes) -> float:
        """See `TurnDetector`. Cancelling takes a waiting judgement back."""
        if not self._room or len(audio) < 2:
            return _EVEN_ODDS
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.judge, audio)
        finally:
            self._room += 1

    def judge(self, audio: bytes) -> float:
        """The probability, computed in the calling thread."""
        odds = self._model.run(None, {"input_features": self.features(audio)[None]})[0]
        return float(odds[0, 0])

    def features(self, audio: bytes) -> npt.NDArray[np.float32]:
        """Shape (80, 800): the last 8 s, led by silence, at unit variance."""
        samples = np.frombuffer(audio[len(audio) % 2 :][-2 * _SAMPLES :], dtype="<i2").astype(np.float32) / 32768
        window = np.zeros(_SAMPLES, np.float32)
        window[_SAMPLES - len(samples) :] = samples
        return self._spectrum((window - window.mean()) / np.sqrt(window.var() + _TINY))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def build_turn_detector(settings: Settings) -> TurnDetector:
    """The detector that `settings.voice.turn_model` names. Raises `ModelUnavailable` when its file is missing."""
    return _BACKENDS[settings.voice.turn_model](settings)


def _smart_turn(settings: Settings) -> TurnDetector:
    return SmartTurn(model_path(settings, "smart-turn"))


def _off(_settings: Settings) -> TurnDetector:
    return NullTurnDetector()


_BACKENDS: dict[str, Callable[[Settings], TurnDetector]] = {"smart-turn": _smart_turn, "off": _off}
