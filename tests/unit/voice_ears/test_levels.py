"""Offset, background, gain."""

import numpy as np
import pytest

from voicehelper.voice.levels import Levels, decibels, levelled

RNG = np.random.default_rng(7)


def frames(count: int, level_db: float) -> np.ndarray:
    return np.round(RNG.normal(0, 32768 * 10 ** (level_db / 20), (count, 512))).clip(-32768, 32767).astype(np.int16)


def level_of(pcm: bytes) -> float:
    return decibels(np.frombuffer(pcm, "<i2").astype(np.float32))


def test_the_background_is_the_least_of_three_seconds():
    levels = Levels()
    for _ in range(10):
        levels.take(frames(20, -20.0))
        levels.take(frames(8, -55.0))
    assert levels.now.noise_db == pytest.approx(-55.0, abs=1.0)
    levels.take(frames(150, -40.0))
    assert levels.now.noise_db == pytest.approx(-40.0, abs=1.0)


def test_a_quiet_speaker_is_lifted_and_a_loud_one_is_not():
    for level, lifted in ((-50.0, 24.0), (-35.0, 12.0), (-20.0, 0.0)):
        levels = Levels()
        levels.take(frames(50, -85.0))
        for _ in range(60):
            _, found = levels.take(frames(1, level))
            levels.spoke(found[0])
        sound, _ = levels.take(frames(20, level))
        assert level_of(sound) - level == pytest.approx(lifted, abs=2.0)


def test_noise_is_not_lifted_into_speech():
    levels = Levels()
    sound, _ = levels.take(frames(200, -45.0))
    assert level_of(sound[-512 * 100 :]) < -44.0


def test_a_slammed_door_does_not_deafen():
    levels = Levels()
    levels.take(frames(100, -85.0))
    levels.take(frames(3, -3.0))
    sound, _ = levels.take(frames(50, -50.0))
    assert level_of(sound[-512 * 40 :]) > -30.0


def test_offset_is_taken_away():
    levels = Levels()
    sound, _ = levels.take(frames(200, -30.0) + np.int16(5000))
    assert abs(np.frombuffer(sound, "<i2")[-512 * 50 :].mean()) < 50


def test_an_utterance_is_levelled_by_one_gain():
    quiet = (frames(30, -50.0)).tobytes()
    assert level_of(levelled(quiet)) == pytest.approx(-26.0, abs=1.5)  # 24 dB at most
    loud = frames(30, -15.0).tobytes()
    assert level_of(levelled(loud)) == pytest.approx(-15.0, abs=0.5)
    assert levelled(b"") == b""
    assert levelled(bytes(100)) == bytes(100)
