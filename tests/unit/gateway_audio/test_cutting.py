"""Recordings are cut in their silences."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.cutting import cut


def sound(*parts: tuple[float, float]) -> bytes:
    """Noise of so many seconds and so loud (of full scale), one after another."""
    noise = np.random.default_rng(1)
    waves = [
        noise.normal(0, level, int(seconds * INPUT_RATE)) if level else np.zeros(int(seconds * INPUT_RATE))
        for seconds, level in parts
    ]
    return (np.clip(np.concatenate(waves), -1, 1) * 32767).astype("<i2").tobytes()


def seconds(pieces: list[tuple[int, int]]) -> list[tuple[float, float]]:
    return [(round(start / INPUT_RATE, 1), round(end / INPUT_RATE, 1)) for start, end in pieces]


def test_a_short_recording_is_one_piece_without_its_edges():
    assert seconds(cut(sound((2, 0), (3, 0.1), (2, 0)), 28)) == [(1.7, 5.3)]


def test_silence_has_no_pieces():
    assert cut(sound((5, 0)), 28) == []
    assert cut(b"", 28) == []


def test_a_long_one_is_cut_in_the_longest_pause_of_the_second_half():
    audio = sound((9, 0.1), (0.4, 0), (8, 0.1), (1.0, 0), (9, 0.1), (0.4, 0.0), (9, 0.1))
    assert [(round(a), round(b)) for a, b in seconds(cut(audio, 28))] == [(0, 18), (18, 37)]


def test_without_a_pause_it_is_cut_where_it_is_quietest():
    audio = sound((20, 0.1), (0.2, 0.02), (20, 0.1))
    (_, end), (start, _) = cut(audio, 28)
    assert end == start
    assert abs(end / INPUT_RATE - 20.1) < 0.2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 12), st.sampled_from([0.0, 0.01, 0.1])), min_size=1, max_size=8))
def test_pieces_are_short_ordered_and_lose_nothing_loud(parts):
    audio = sound(*parts)
    pieces = cut(audio, 10)
    assert all(0 <= start < end <= len(audio) // 2 and end - start <= 10.7 * INPUT_RATE for start, end in pieces)
    assert all(a_end <= b_start + 0.7 * INPUT_RATE for (_, a_end), (b_start, _) in itertools.pairwise(pieces))
    at = 0
    loudest = max(level for _, level in parts)
    for length, level in parts:
        middle = int((at + length / 2) * INPUT_RATE)
        at += length
        if level == loudest > 0:
            assert any(start <= middle <= end for start, end in pieces)


@pytest.mark.parametrize("longest", [5.0, 28.0])
def test_no_piece_is_longer_than_the_model_takes(longest):
    assert all(end - start <= longest * INPUT_RATE + 1 for start, end in cut(sound((61, 0.1)), longest))
