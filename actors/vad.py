"""The voice activity actor: Silero VAD on ONNX, one model for all sessions of a process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.listening.onnx import open_model
from voicehelper.config import Settings
from voicehelper.embedded.models import model_path
from voicehelper.ports.speech import FakeVoiceActivity, VoiceActivity, VoiceActivityDetector

_FRAME = 512
_CONTEXT = 64  # samples before a frame that the model sees with it
_STATE = (1, 1, 128)


class SileroDetector:
    """Implements `VoiceActivityDetector`. Loads in some 30 ms. Raises `ModelUnavailable`."""

    def __init__(self, path: Path) -> None:
        self._model = open_model(path)

    def listen(self) -> VoiceActivity:
        """For a new session: costs half a kilobyte."""
        return SileroActivity(self._model)


class SileroActivity:
    """One session's recurrent state. Some 0.06 ms a frame, 0.04 ms with three at once."""

    frame_samples = _FRAME

    def __init__(self, model: Any) -> None:
        self._model = model
        self._h = self._c = np.zeros(_STATE, np.float32)  # the model returns new ones and leaves these as they are
        self._context = np.zeros(_CONTEXT, np.float32)

    def probabilities(self, frames: bytes) -> list[float]:
        """See `VoiceActivity`. Samples beyond the last whole frame are left out."""
        count = len(frames) // (2 * _FRAME)
        if not count:
            return []
        samples = np.frombuffer(frames, dtype="<i2", count=count * _FRAME).astype(np.float32) / np.float32(32768)
        windows = self._with_context(samples.reshape(count, _FRAME))
        odds, self._h, self._c = self._model.run(None, {"input": windows, "h": self._h, "c": self._c})
        return [float(odd) for odd in odds]

    def reset(self) -> None:
        """See `VoiceActivity`."""
        self._h = self._c = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def _with_context(self, frames: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        windows = np.empty((len(frames), _CONTEXT + _FRAME), np.float32)
        windows[:, _CONTEXT:] = frames
        windows[0, :_CONTEXT] = self._context
        windows[1:, :_CONTEXT] = frames[:-1, -_CONTEXT:]
        self._context = frames[-1, -_CONTEXT:]
        return windows


def build_voice_activity(settings: Settings) -> VoiceActivityDetector:
    """The detector that `settings.voice.vad` names. Raises `ModelUnavailable` when its file is missing."""
    return _BACKENDS[settings.voice.vad](settings)


def _silero(settings: Settings) -> VoiceActivityDetector:
    return SileroDetector(model_path(settings, "silero-vad"))


def _fake(_settings: Settings) -> VoiceActivityDetector:
    return FakeVoiceActivity()


_BACKENDS: dict[str, Callable[[Settings], VoiceActivityDetector]] = {"silero": _silero, "fake": _fake}
