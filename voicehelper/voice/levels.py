"""How loud a session's sound is: offset, background noise, and the gain that makes quiet speech audible to a model.

Levels are decibels of full scale (dBFS), of root mean squares.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

SILENCE_DB = -90.0
FULL_SCALE = 32768.0
_OFFSET_SHARE = 1 / 16  # of a frame's mean that enters the running offset: half a second to follow a change

_QUIET_ROOM_DB = -60.0  # assumed until the background is known
_NOISE_FRAMES = 8  # a quarter of a second has one minimum
_NOISE_MINIMA = 12  # in three seconds of speech there is a gap in which only the background is heard

_TARGET_DB = -23.0
_MOST_GAIN_DB = 24.0
_NOISE_LIMIT_DB = -50.0  # the gain does not lift the background above it
_PEAK_LIMIT = 0.7  # nor a sample above this share of full scale
_QUIET_SPEAKER_DB = _TARGET_DB - _MOST_GAIN_DB  # assumed until somebody has spoken
_ATTACK, _DECAY = 0.3, 0.02  # share of a louder, of a softer speech frame in the running level


@dataclass(frozen=True, slots=True)
class Loudness:
    """A session's sound now."""

    speech_db: float
    noise_db: float
    gain_db: float


class NoiseFloor:
    """The level of what is heard all the time: the least of the last three seconds (minimum statistics, after Martin
    2001)."""

    def __init__(self) -> None:
        self._minima = deque([_QUIET_ROOM_DB] * _NOISE_MINIMA, maxlen=_NOISE_MINIMA)
        self._least = math.inf
        self._frames = 0
        self.db = _QUIET_ROOM_DB

    def take(self, level_db: float) -> None:
        """A frame of this level was heard."""
        self._least = min(self._least, level_db)
        self._frames += 1
        if self._frames == _NOISE_FRAMES:
            self._minima.append(self._least)
            self._least, self._frames = math.inf, 0
            self.db = min(self._minima)
        else:
            self.db = min(self.db, level_db)


class Levels:
    """Follows one session's sound, frame by frame. The gain follows the speaker, not the sound: a slammed door does not
    make him inaudible, nor does his silence lift those who talk in the background."""

    def __init__(self) -> None:
        self._noise = NoiseFloor()
        self._speech_db = _QUIET_SPEAKER_DB
        self._offset = 0.0
        self._gain = 1.0

    @property
    def now(self) -> Loudness:
        """What was found so far."""
        return Loudness(self._speech_db, self._noise.db, 20 * math.log10(self._gain))

    def take(self, frames: npt.NDArray[np.int16]) -> tuple[bytes, list[float]]:
        """`frames` (one a row) without offset and with the gain, as PCM; and the level of each as it came.

        The gain glides over a frame, so that it makes no clicks.
        """
        samples = frames.astype(np.float32)
        levels = [self._take(row) for row in samples]
        return pcm_of(samples), levels

    def spoke(self, level_db: float) -> None:
        """A frame of this level was speech."""
        share = _ATTACK if level_db > self._speech_db else _DECAY
        self._speech_db += share * (level_db - self._speech_db)

    def _take(self, row: Samples) -> float:
        self._offset += _OFFSET_SHARE * (float(row.mean()) - self._offset)
        row -= np.float32(self._offset)
        level = decibels(row)
        self._noise.take(level)
        self._amplify(row)
        return level

    def _amplify(self, row: Samples) -> None:
        wanted_db = min(_TARGET_DB - self._speech_db, _NOISE_LIMIT_DB - self._noise.db, _MOST_GAIN_DB)
        peak = max(float(row.max()), -float(row.min()), 1.0)
        gain = max(min(10 ** (wanted_db / 20), _PEAK_LIMIT * FULL_SCALE / peak), 1.0)
        if gain != self._gain:
            row *= np.linspace(min(self._gain, max(FULL_SCALE / peak, 1.0)), gain, len(row), dtype=np.float32)
        elif gain != 1.0:
            row *= np.float32(gain)
        self._gain = gain


def decibels(samples: Samples) -> float:
    """The level of samples of 16-bit scale, not below `SILENCE_DB`."""
    power = float(np.dot(samples, samples)) / len(samples) / FULL_SCALE**2
    return max(10 * math.log10(power), SILENCE_DB) if power > 0 else SILENCE_DB


def pcm_of(samples: Samples) -> bytes:
    """Samples of 16-bit scale as PCM; what is beyond it is cut off."""
    whole: npt.NDArray[np.int16] = np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
    return whole.tobytes()


def levelled(pcm: bytes) -> bytes:
    """PCM of an utterance without offset, brought to one loudness by one gain, as a recogniser likes it."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    if not len(samples):
        return pcm
    samples -= samples.mean()
    peak = float(np.max(np.abs(samples)))
    gain_db = min(max(_TARGET_DB - loud_part_db(samples), 0.0), _MOST_GAIN_DB)
    gain = min(10 ** (gain_db / 20), 0.9 * FULL_SCALE / max(peak, 1.0))
    return pcm_of(samples * np.float32(max(gain, 1.0)))


def loud_part_db(samples: Samples, frame: int = 512) -> float:
    """The level that a tenth of the frames exceed: that of the speech, whatever the share of pauses."""
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if not len(whole):
        return decibels(samples)
    powers = np.einsum("ij,ij->i", whole, whole) / frame / FULL_SCALE**2
    return max(10 * math.log10(max(float(np.quantile(powers, 0.9)), 1e-9)), SILENCE_DB)
