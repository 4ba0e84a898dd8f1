"""Where a long recording is cut so that a model with a short memory can write it down: in its silences."""

import numpy as np
import numpy.typing as npt

from voicehelper.ports.speech import INPUT_RATE

STEP = INPUT_RATE // 50  # 20 ms
_GAP = 15  # steps of silence that part sentences
_QUIET = 0.1  # of the usual level of speech


def cut(pcm: bytes, longest_s: float) -> list[tuple[int, int]]:
    """Stretches (in samples) of at most `longest_s` seconds that hold all that sounds, silence between them left out.

    A stretch is as long as it may be, ends in the longest silence of its second half, and where there is none at its
    quietest moment.
    """
    levels = _levels(pcm)
    total = len(pcm) // 2
    longest = int(longest_s * INPUT_RATE / STEP)
    pieces: list[tuple[int, int]] = []
    at, end = _sounding(levels)
    while at < end:
        stop = end if end - at <= longest else at + _best_cut(levels[at : at + longest])
        first, last = _sounding(levels[at:stop])
        if first < last:
            pieces.append(((at + first) * STEP, min((at + last) * STEP, total)))
        at = stop
    return pieces


def _levels(pcm: bytes) -> npt.NDArray[np.float32]:
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    padded = np.pad(samples, (0, -len(samples) % STEP)).reshape(-1, STEP)
    levels = np.sqrt(np.mean(padded**2, axis=1)) if len(padded) else np.zeros(0, np.float32)
    return np.asarray(levels / max(1.0, _usual(levels)), dtype=np.float32)


def _usual(levels: npt.NDArray[np.float32]) -> float:
    return float(np.percentile(levels, 90)) if len(levels) else 0.0


def _sounding(levels: npt.NDArray[np.float32]) -> tuple[int, int]:
    """From where to where anything sounds, with a little silence around it; (0, 0) where nothing does."""
    loud = np.flatnonzero(levels >= _QUIET / 4)
    if not len(loud):
        return 0, 0
    return max(0, int(loud[0]) - _GAP), min(len(levels), int(loud[-1]) + _GAP)


def _best_cut(levels: npt.NDArray[np.float32]) -> int:
    half = len(levels) // 2
    quiet = levels[half:] < _QUIET
    best, length, run = 0, 0, 0
    for index, silent in enumerate(quiet):
        run = run + 1 if silent else 0
        if run >= max(length, _GAP):
            best, length = index - run // 2, run
    if length:
        return half + best
    smooth = np.convolve(levels[half:], np.ones(5) / 5, mode="same")
    return half + int(np.argmin(smooth))
