"""Where a continuation begins to be new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.models.joining import Joint


def joined(before: str, *pieces: str) -> str:
    joint = Joint(before)
    text = "".join(joint.feed(piece) for piece in pieces) + joint.finish()
    assert joint.whole == before + text
    return text


@pytest.mark.parametrize(
    ("before", "pieces", "new"),
    [
        ("The quick brown", (" fox",), " fox"),
        ("The quick brown", ("quick ", "brown", " fox"), " fox"),
        ("The quick brown", ("The quick", " brown fox"), " fox"),  # all of it again
        ("The quick brown", ("The quick", " red fox"), "The quick red fox"),  # something else
        ("春眠不觉晓，处处", ("不觉晓，", "处处闻"), "闻"),
        ("好的", ("的确",), "的确"),  # too short to be a repetition
        ("The quick brown", ("brown",), ""),
        ("The quick brown", (), ""),
        ("", ("a", "b"), "ab"),
    ],
)
def test_repetitions_are_left_out(before, pieces, new):
    assert joined(before, *pieces) == new


@given(st.text("abc ", max_size=20), st.lists(st.text("abc ", min_size=1, max_size=5), max_size=6))
def test_nothing_but_a_repetition_is_ever_left_out(before, pieces):
    said, whole = joined(before, *pieces), "".join(pieces)
    assert whole.endswith(said)
    assert before.endswith(whole[: len(whole) - len(said)])
