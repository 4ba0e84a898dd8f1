"""Log-mel spectra as Whisper and its descendants expect them.

The mathematics are those of `WhisperFeatureExtractor` of Hugging Face Transformers (Apache-2.0), by way of Pipecat's
`_whisper_features.py` (BSD-2-Clause, Copyright (c) 2024-2026, Daily), rewritten for float32.
"""

import math

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Samples = npt.NDArray[np.float32]

RATE = 16_000
WINDOW = 400
HOP = 160
_FLOOR = 1e-10
_RANGE = 8.0  # decades below the loudest that are kept
_LINEAR_UP_TO_HZ, _LINEAR_MELS, _LOG_STEP = 1000.0, 15.0, 27.0 / math.log(6.4)
_BLOCK = 32  # spectra at a time: so few that BLAS wakes no thread, which would spin for the time of many calls


def _mels(hertz: float) -> float:
    """On Slaney's scale: linear up to 1 kHz, logarithmic above."""
    if hertz < _LINEAR_UP_TO_HZ:
        return 3.0 * hertz / 200.0
    return _LINEAR_MELS + math.log(hertz / _LINEAR_UP_TO_HZ) * _LOG_STEP


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(
        mels < _LINEAR_MELS, 200.0 * mels / 3.0, _LINEAR_UP_TO_HZ * np.exp((mels - _LINEAR_MELS) / _LOG_STEP)
    )


class LogMel:
    """Spectra with `bands` mel bands (80; 128 for Whisper large-v3). Stateless: any number of threads may use it."""

    def __init__(self, bands: int = 80) -> None:
        edges = _hertz(np.linspace(_mels(0.0), _mels(RATE / 2), bands + 2))
        bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
        slopes = edges[:, None] - bins
        rising, falling = -slopes[:-2] / np.diff(edges)[:-1, None], slopes[2:] / np.diff(edges)[1:, None]
        filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
        self._filters = filters.T.astype(np.float32)
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

    def __call__(self, samples: Samples) -> Samples:
        """Shape (bands, len(samples) // HOP), roughly -1 to 1. `samples` at `RATE`, at least `WINDOW` of them."""
        padded = np.pad(samples, WINDOW // 2, mode="reflect")
        frames = sliding_window_view(padded, WINDOW)[::HOP][: len(samples) // HOP]
        energies = np.concatenate([self._energies(frames[at : at + _BLOCK]) for at in range(0, len(frames), _BLOCK)])
        logs = np.log10(np.maximum(energies, _FLOOR))
        return np.ascontiguousarray(((np.maximum(logs, logs.max() - _RANGE) + 4.0) / 4.0).T, dtype=np.float32)

    def _energies(self, frames: Samples) -> Samples:
        spectra = np.fft.rfft(frames * self._window)
        power = (spectra.real**2 + spectra.imag**2).astype(np.float32)
        return np.asarray(power @ self._filters)
