"""What the synthesiser made, as it is sent: without the silence around it, evenly loud, without clicks."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_FRAME_S = 0.005
_SILENT = 0.008  # of the loudest frame: 42 dB below it
_LEAD_S, _TAIL_S = 0.02, 0.04  # kept around the sound: a soft first consonant, a breath at the end
_FADE_IN_S, _FADE_OUT_S = 0.003, 0.015
_LOUDNESS = 0.1  # root mean square of speech, of full scale: -20 dBFS
_GAIN = (0.25, 4.0)
_PEAK = 0.97


def finished(samples: Samples, rate: int, pause_ms: float) -> bytes:
    """PCM of one piece: trimmed, at even loudness, faded at both ends, followed by `pause_ms` of silence. Nothing for
    a piece without sound."""
    sound = _trimmed(samples, rate)
    if not len(sound):
        return b""
    sound = _faded(_even(sound, rate), rate)
    return (sound * 32767).round().astype("<i2").tobytes() + bytes(2 * int(pause_ms * rate / 1000))


def _trimmed(samples: Samples, rate: int) -> Samples:
    levels = _levels(samples, rate)
    if not len(levels) or not levels.max() > 0:
        return samples[:0]
    heard = np.flatnonzero(levels > _SILENT * levels.max())
    frame = int(_FRAME_S * rate)
    start = int(heard[0]) * frame - int(_LEAD_S * rate)
    end = (int(heard[-1]) + 1) * frame + int(_TAIL_S * rate)
    return samples[max(start, 0) : end]


def _even(samples: Samples, rate: int) -> Samples:
    """At the same loudness whatever the voice and the text, measured where somebody speaks."""
    levels = _levels(samples, rate)
    spoken = levels[levels > 0.1 * levels.max()] if len(levels) else levels
    if not len(spoken):
        return samples
    gain = float(np.clip(_LOUDNESS / np.sqrt(np.mean(spoken**2)), *_GAIN))
    return samples * np.float32(min(gain, _PEAK / float(np.abs(samples).max())))


def _faded(samples: Samples, rate: int) -> Samples:
    faded = samples.copy()
    rise, fall = (min(int(seconds * rate), len(faded)) for seconds in (_FADE_IN_S, _FADE_OUT_S))
    faded[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    faded[len(faded) - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return faded


def _levels(samples: Samples, rate: int) -> Samples:
    """Root mean square of each frame."""
    frame = int(_FRAME_S * rate)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels: Samples = np.sqrt(np.mean(frames**2, axis=1))
    return levels
