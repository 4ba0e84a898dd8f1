"""Trimming, loudness, fades; and who has his turn."""

import asyncio

import numpy as np
import pytest

from actors.tts.line import Line
from actors.tts.sound import finished
from voicehelper.errors import Overloaded

RATE = 24_000


def tone(seconds=0.5, loudness=0.3, before=0.4, after=0.6):
    wave = loudness * np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * 200 / RATE)
    return np.concatenate([np.zeros(int(before * RATE)), wave, np.zeros(int(after * RATE))]).astype(np.float32)


def samples(pcm):
    return np.frombuffer(pcm, "<i2").astype(float) / 32768


def test_silence_around_the_sound_goes_and_the_pause_comes():
    made = samples(finished(tone(), RATE, 160))
    assert len(made) / RATE == pytest.approx(0.02 + 0.5 + 0.04 + 0.16, abs=0.01)
    assert np.all(made[-int(0.16 * RATE) :] == 0)


@pytest.mark.parametrize("loudness", [0.08, 0.3, 0.9])
def test_voices_are_equally_loud(loudness):
    made = samples(finished(tone(loudness=loudness), RATE, 0))[2000:-2000]
    assert np.sqrt(np.mean(made**2)) == pytest.approx(0.1, rel=0.6)


def test_nothing_is_louder_than_full_scale():
    sharp = tone(loudness=0.05)
    sharp[12_000] = 0.9
    assert np.abs(samples(finished(sharp, RATE, 0))).max() <= 0.98


def test_the_ends_do_not_click():
    made = samples(finished(tone(before=0, after=0), RATE, 0))
    assert made[0] == 0
    assert abs(made[-1]) < 0.001


@pytest.mark.parametrize("silence", [np.zeros(0, np.float32), np.zeros(50, np.float32), np.zeros(9000, np.float32)])
def test_silence_is_no_sound(silence):
    assert finished(silence, RATE, 300) == b""


async def test_first_pieces_go_before_the_rest_of_others():
    line, order = Line("test", 1, 8), []
    await line.acquire(0)

    async def piece(name, number):
        await line.acquire(number)
        order.append(name)
        line.release()

    waiting = [asyncio.create_task(piece(*wish)) for wish in (("a2", 2), ("a3", 3), ("b0", 0), ("c0", 0))]
    await asyncio.sleep(0)
    line.release()
    await asyncio.gather(*waiting)
    assert order == ["b0", "c0", "a2", "a3"]


async def test_who_leaves_the_line_hands_on_his_turn():
    line = Line("test", 1, 8)
    await line.acquire(0)
    first, second = (asyncio.create_task(line.acquire(0)) for _ in range(2))
    await asyncio.sleep(0)
    line.release()
    first.cancel()
    await asyncio.wait_for(second, 1)
    line.release()
    await asyncio.wait_for(line.acquire(0), 1)


async def test_beyond_the_queue_nobody_is_let_in():
    line = Line("test", 1, 1)
    with line.utterance(), line.utterance(), pytest.raises(Overloaded), line.utterance():
        pass
    with line.utterance():
        pass
