"""The resampler: exact in length, the same however its input is cut, true to what it passes."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.voice.resample import Resampler, resample

PAIRS = [(8000, 16000), (24000, 16000), (44100, 16000), (48000, 16000), (24000, 48000), (22050, 24000), (24000, 8000)]


def sine(rate: int, hertz: float, seconds: float = 0.5) -> np.ndarray:
    return 8000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def pcm(samples: np.ndarray) -> bytes:
    return samples.round().astype("<i2").tobytes()


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_tone_stays_the_tone_without_delay(rate_in: int, rate_out: int):
    made = np.frombuffer(resample(pcm(sine(rate_in, 440)), rate_in, rate_out), "<i2").astype(float)
    wanted = sine(rate_out, 440)
    assert len(made) == len(wanted)
    error = (made - wanted)[200:-200]
    assert 10 * np.log10(np.mean(wanted**2) / np.mean(error**2)) > 65


@pytest.mark.parametrize(("rate_in", "rate_out"), [(24000, 16000), (48000, 8000), (44100, 16000)])
def test_what_the_lower_rate_cannot_hold_is_gone(rate_in: int, rate_out: int):
    made = np.frombuffer(resample(pcm(sine(rate_in, rate_out * 0.58)), rate_in, rate_out), "<i2")
    assert np.abs(made[200:-200]).max() <= 2


@given(st.sampled_from(PAIRS), st.lists(st.integers(1, 3000), min_size=1, max_size=15), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_seams_cannot_be_heard(pair: tuple[int, int], cuts: list[int], seed: int):
    sound = np.random.default_rng(seed).integers(0, 256, sum(cuts), dtype=np.uint8).tobytes()
    resampler, parts, at = Resampler(*pair), [], 0
    for cut in cuts:
        parts.append(resampler(sound[at : at + cut]))
        at += cut
    parts.append(resampler.flush())
    assert b"".join(parts) == resample(sound, *pair)
    assert len(b"".join(parts)) // 2 == ceil(len(sound) // 2 * pair[1] / pair[0])


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_it_holds_back_two_milliseconds_at_most(rate_in: int, rate_out: int):
    made = len(Resampler(rate_in, rate_out)(bytes(2 * rate_in // 50))) // 2
    assert rate_out / 50 - made <= 0.0021 * rate_out


def test_after_a_reset_it_is_new():
    resampler = Resampler(24000, 16000)
    first = resampler(pcm(sine(24000, 300)))
    resampler.reset()
    assert resampler(pcm(sine(24000, 300))) == first
