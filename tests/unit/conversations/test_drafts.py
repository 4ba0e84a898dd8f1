"""What becomes of an answer's text."""

import pytest

from voicehelper.conversations.draft import Draft
from voicehelper.conversations.model import title_of
from voicehelper.errors import Overloaded, VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus


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
    for event in (AnswerStatus("answering"), AnswerDelta("好"), AnswerDelta("的\x00"), AnswerDelta("\x00")):
        list(draft.take(event))
    assert draft.trail == ["answering", 1, 1]
    assert (draft.stopped().status, draft.stopped().content) == ("stopped", "好的")
    with pytest.raises(VoiceHelperError):
        draft.completed()
    list(draft.take(AnswerDone("answered", ChatUsage(1, 2), "m", ("dense",), {"total": 1.0})))
    assert draft.completed().metadata["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    assert draft.failed(Overloaded("queue")).metadata["error"] == {"code": 42902}
    failed = draft.failed(KeyError("secret"))
    assert (failed.metadata["outcome"], failed.metadata["error"]) == ("failed", {"code": 50000})


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ude00\ud83d", "\ude00"], "\ufffd\U0001f600"),
        (["\x00"], ""),
        (["退\u2028款"], "退\u2028款"),
    ],
)
def test_what_models_send_in_halves_is_shown_and_stored_alike(parts: list[str], text: str) -> None:
    draft = Draft(new_id())
    events = [*(AnswerDelta(part) for part in parts), AnswerCitations(()), AnswerDone("answered")]
    shown = [seen for event in events for seen in draft.take(event)]
    assert "".join(event.text for event in shown if isinstance(event, AnswerDelta)) == draft.text == text
    assert sum(step for step in draft.trail if isinstance(step, int)) == len(text)
    draft.text.encode()
