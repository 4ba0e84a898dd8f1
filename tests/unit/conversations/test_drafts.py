"""What becomes of an answer's text."""

import pytest

from voicehelper.conversations.draft import Draft
from voicehelper.conversations.model import title_of
from voicehelper.errors import Overloaded, VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerStatus


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("退款多久到账？", "退款多久到账？"),
        ("  a \t b\nsecond line", "a b"),
        ("x" * 100, "x" * 39 + "…"),
        ("x" * 40, "x" * 40),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_titles(question: str, title: str) -> None:
    assert title_of(question) == title


def test_a_draft_becomes_what_its_end_makes_of_it() -> None:
    draft = Draft(new_id())
    for event in (AnswerStatus("answering"), AnswerDelta("好"), AnswerDelta("的\x00")):
        draft.take(event)
    assert (draft.stopped().status, draft.stopped().content) == ("stopped", "好的")
    with pytest.raises(VoiceHelperError):
        draft.completed()
    draft.take(AnswerDone("answered", ChatUsage(1, 2), "m", ("dense",), {"total": 1.0}))
    assert draft.completed().metadata["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 0}
    assert draft.failed(Overloaded("queue")).metadata["error"] == {"code": 42902}
    assert draft.failed(KeyError("secret")).metadata == {"outcome": "failed", "error": {"code": 50000}}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["\x00"], ""),
        (["退\u2028款"], "退\u2028款"),
    ],
)
def test_what_models_send_in_halves_can_be_stored(parts: list[str], text: str) -> None:
    draft = Draft(new_id(), parts)
    assert draft.text == text
    draft.text.encode()
