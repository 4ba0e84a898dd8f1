"""The ear, with a detector that hears loudness."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.ports.speech import FakeVoiceActivity
from voicehelper.voice.ear import Ear, EarOptions
from voicehelper.voice.model import SpeechStarted, SpeechStopped

FRAME = 512


def tone(frames: float, loudness: int = 6000) -> bytes:
    return array("h", (int(loudness * math.sin(n * 0.3)) for n in range(int(frames * FRAME)))).tobytes()


def quiet(frames: float) -> bytes:
    return bytes(int(frames * FRAME) * 2)


def hear(ear: Ear, pcm: bytes, step: int = 640) -> list[SpeechStarted | SpeechStopped]:
    return [event for at in range(0, len(pcm), step) for event in ear.hear(pcm[at : at + step])]


@pytest.mark.parametrize("step", [2, 640, 1024, 3200, 6400, 1_000_000])
def test_speech_is_told_where_it_begins_and_ends_however_it_is_cut(step: int):
    ear = Ear(FakeVoiceActivity())
    told = hear(ear, quiet(10) + tone(8) + quiet(10) + tone(4) + quiet(8), step)
    assert [(type(event).__name__, event.sample // FRAME) for event in told] == [
        ("SpeechStarted", 10),
        ("SpeechStopped", 18),
        ("SpeechStarted", 28),
        ("SpeechStopped", 32),
    ]
    assert [(event.heard - event.sample) // FRAME for event in told] == [2, 3, 2, 3]
    assert ear.position == 40 * FRAME


def test_a_click_is_no_speech_and_a_gap_no_pause():
    ear = Ear(FakeVoiceActivity())
    assert hear(ear, quiet(5) + tone(1) + quiet(5)) == []
    told = hear(ear, tone(5) + quiet(2) + tone(5) + quiet(5))
    assert [type(event) for event in told] == [SpeechStarted, SpeechStopped]


def test_what_was_heard_is_kept_for_a_while():
    ear = Ear(FakeVoiceActivity(), EarOptions(memory_s=1.0))
    for second in range(40):
        hear(ear, bytes([second, 0]) * 16_000, 6400)
    assert ear.position == 40 * 16_000
    assert ear.audio(39 * 16_000, 40 * 16_000) == bytes([39, 0]) * 16_000
    assert ear.audio(0, 16_000) == b""
    assert len(ear.audio(0, 41 * 16_000)) <= 2 * 17 * 16_000


def test_half_a_sample_is_left_out():
    ear = Ear(FakeVoiceActivity())
    ear.hear(b"\x01\x02\x03")
    assert ear.position == 1
    assert ear.audio(0, 9) == b"\x01\x02"


def test_on_another_replica_it_begins_where_the_client_does():
    ear = Ear(FakeVoiceActivity(), start=1000)
    told = hear(ear, tone(4) + quiet(4))
    assert [event.sample for event in told] == [1000, 1000 + 4 * FRAME]
    assert ear.audio(0, 1000) == b""


class Counting(FakeVoiceActivity):
    """Counts how often it was told to forget."""

    resets = 0

    def reset(self) -> None:
        self.resets += 1


def test_the_detector_forgets_long_silence_but_not_in_speech():
    vad = Counting()
    ear = Ear(vad)
    hear(ear, tone(200))
    assert vad.resets == 0
    hear(ear, quiet(200))
    assert vad.resets == 3


@given(st.lists(st.binary(max_size=4000), max_size=20), st.integers(0, 10**7))
def test_no_bytes_disturb_it(pieces: list[bytes], start: int):
    ear, heard = Ear(FakeVoiceActivity(), start=start), start
    for piece in pieces:
        ear.hear(piece)
        heard += len(piece) // 2
        assert ear.position == heard
        assert len(ear.utterance(start, heard)) == 2 * (heard - start)
