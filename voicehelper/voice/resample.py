"""Change of a stream's sample rate, without clicks at the seams and with little delay.

A polyphase filter of windowed sincs (Crochiere and Rabiner 1983). Its delay is 1 to 3 ms; the streams of soxr, which
give more than a conversation needs in the stop band, hold sound back for 20 to 120 ms (docs/adr/0012).
"""

from functools import lru_cache
from math import ceil, gcd

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from voicehelper.voice.levels import Samples, pcm_of

_ZERO_CROSSINGS = 16  # of the sinc, on each side
_PASS_BAND = 0.94  # of the lower rate's half: where the filter begins to fall
_KAISER_BETA = 8.0  # some 80 dB


class Resampler:
    """PCM of one rate in, PCM of another out: `ceil(samples * out / in)` samples in all, as far as they have come."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        common = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._phases = _filters(self._up, self._down) if rate_in != rate_out else np.ones((1, 1), np.float32)
        self._taps = self._phases.shape[1]
        self._ahead = self._taps // 2
        self._half = b""
        self._begin()

    def __call__(self, pcm: bytes) -> bytes:
        """The next samples. A byte that is half a sample waits for the rest."""
        pcm = self._half + pcm
        whole = len(pcm) // 2 * 2
        self._half = pcm[whole:]
        if self._up == self._down:
            return pcm[:whole]
        return pcm_of(self._filter(np.frombuffer(pcm, dtype="<i2", count=whole // 2).astype(np.float32)))

    def flush(self) -> bytes:
        """What the filter still holds; then a new stream begins."""
        if self._up == self._down:
            self._half = b""
            return b""
        wanted = ceil(self._taken * self._up / self._down) - self._given
        rest = self._filter(np.zeros(self._ahead, np.float32))[:wanted]
        self.reset()
        return pcm_of(rest)

    def reset(self) -> None:
        """Forget the stream so far."""
        self._half = b""
        self._begin()

    def _begin(self) -> None:
        """Silence before the first sample; `_next`: the next output's place, in steps of 1 / `_up` input samples."""
        self._held = np.zeros(self._taps - 1 - self._ahead, np.float32)
        self._next = 0
        self._taken = self._given = 0

    def _filter(self, samples: Samples) -> Samples:
        self._taken += len(samples)
        held = np.concatenate((self._held, samples))
        last = (len(held) - self._taps + 1) * self._up  # first place that needs samples which have not come
        places = np.arange(self._next, max(last, self._next), self._down)
        if not len(places):
            self._held = held
            return np.zeros(0, np.float32)
        starts, phases = np.divmod(places, self._up)
        made: Samples = np.einsum("ij,ij->i", sliding_window_view(held, self._taps)[starts], self._phases[phases])
        self._given += len(made)
        following = int(places[-1]) + self._down
        spent = min(following // self._up, len(held))
        self._held, self._next = held[spent:], following - spent * self._up
        return made


@lru_cache(maxsize=16)
def _filters(up: int, down: int) -> Samples:
    """Shape (up, taps): row p weighs the samples around a place p / up beyond a sample."""
    lowest = min(1.0, up / down)  # the lower of both rates, in input rates
    reach = ceil(_ZERO_CROSSINGS / lowest)
    offsets = np.arange(-reach + 1, reach + 1)[None, :] - np.arange(up)[:, None] / up
    cutoff = lowest * _PASS_BAND
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (offsets / reach) ** 2))) / np.i0(_KAISER_BETA)
    rows: npt.NDArray[np.float64] = cutoff * np.sinc(cutoff * offsets) * window
    filters: Samples = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters


def resample(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    """All of a sound at another rate."""
    resampler = Resampler(rate_in, rate_out)
    return resampler(pcm) + resampler.flush()
