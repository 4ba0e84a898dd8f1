from dataclasses import replace
from datetime import UTC, datetime

from voicehelper.conversations.heard import Heard, cut_to
from voicehelper.conversations.live_views import replay
from voicehelper.conversations.model import Message, Owner
from voicehelper.conversations.turns import StoredTurn, Turn
from voicehelper.ids import new_id
from voicehelper.rag.events import Citation

AT = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "退货要七天内。运费自理。"


def citation(start, end):
    return Citation(1, start, end, new_id(), new_id(), "a.md", None, (), "q", 0.5)


def stored(status="completed", **metadata):
    question = Message(new_id(), new_id(), 1, "user", "completed", "怎么退货", AT)
    answer = Message(
        new_id(),
        question.conversation_id,
        2,
        "assistant",
        status,
        TEXT,
        AT,
        citations=(citation(0, 7), citation(7, 12)),
        metadata={"outcome": "answered", **metadata},
    )
    return StoredTurn(Turn(Owner(new_id(), new_id()), question, answer), ("searching", 3, 4, "late", 5))


def test_only_what_was_heard_is_left():
    cut = cut_to(stored(), Heard(7, AT))
    answer = cut.turn.answer
    assert answer.content == "退货要七天内。"
    assert len(answer.citations) == 1
    assert answer.metadata["heard"] == {"chars": 7, "of": 12, "interrupted_at": AT.isoformat()}
    assert answer.status == "completed"
    assert cut.trail == ("searching", 3, 4)
    assert cut.turn.attempt == 2
    events = replay(cut)
    assert "".join(event.data for event in events if event.name == "delta").count("text") == 2
    assert all(event.mark.attempt == 2 for event in events)


def test_a_second_cut_remembers_the_whole():
    again = cut_to(cut_to(stored(), Heard(7)), Heard(3))
    assert again.turn.answer.metadata["heard"] == {"chars": 3, "of": 12}
    assert cut_to(again, Heard(5)) is None


def test_nothing_heard():
    cut = cut_to(stored(), Heard(0))
    assert cut.turn.answer.content == ""
    assert cut.turn.answer.citations == ()


def test_all_heard_of_a_completed_answer_changes_nothing():
    assert cut_to(stored(), Heard(12)) is None


def test_all_heard_of_a_stopped_answer_is_noted_and_it_is_not_taken_up_anew():
    cut = cut_to(stored("stopped", reason="left"), Heard(99))
    assert cut.turn.answer.metadata["heard"]["chars"] == 12
    assert not cut.retakable
    assert cut_to(cut, Heard(99)) is None


def test_an_answer_being_written_is_left_alone():
    running = stored()
    turn = replace(running.turn, answer=replace(running.turn.answer, status="streaming"))
    assert cut_to(replace(running, turn=turn), Heard(1)) is None
