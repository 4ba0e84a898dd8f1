import pytest

from voicehelper.voice.speaker_pace import Playhead
from voicehelper.voice.speaker_resume import where_to_go_on
from voicehelper.voice.timeline import Clause, Heard, Timeline, restored

RATE = 1000
SAID = "您好，退货要七天。运费自理。"


def clause(start, samples, text, at, turn=1, generation=0, acknowledgement=False):
    return Clause(turn, start, samples, text, at, at + len(text), text, "zh", generation, acknowledgement)


def line(*clauses):
    timeline = Timeline(RATE)
    for one in clauses:
        timeline.add(one)
    return timeline


CLAUSES = (clause(0, 600, "您好，", 0), clause(600, 1200, "退货要七天。", 3), clause(1800, 1000, "运费自理。", 9))


@pytest.mark.parametrize(
    ("played", "chars"), [(0, 0), (300, 1), (600, 3), (1200, 6), (1799, 8), (1800, 9), (2700, 13), (2800, 14)]
)
def test_what_was_heard_follows_the_sound(played, chars):
    timeline = line(*CLAUSES)
    timeline.report(played)
    assert timeline.heard(1).chars == chars
    assert timeline.chars_in(1, played) == chars


def test_all_of_it_is_heard_only_when_all_of_it_is_there():
    timeline = line(*CLAUSES)
    timeline.report(2800)
    assert not timeline.heard(1).whole
    timeline.whole(1, 15)
    assert timeline.heard(1) == Heard(15, 2800, True)


def test_a_latin_word_is_heard_whole_or_not():
    timeline = line(clause(0, 1000, "press Settings now", 0))
    timeline.report(500)
    assert timeline.heard(1).chars == len("press ")


def test_acknowledgements_stand_for_nothing():
    timeline = line(clause(0, 500, "", 0, acknowledgement=True), clause(500, 500, "好的。", 0))
    timeline.report(500)
    assert timeline.heard(1) == Heard(0, 0, False)
    timeline.report(1000)
    assert timeline.heard(1) == Heard(3, 500, False)


def test_what_comes_after_a_stop_does_not_count_for_what_was_stopped():
    timeline = line(*CLAUSES)
    timeline.report(700)
    timeline.cut(1700)
    timeline.add(clause(1700, 400, "好。", 0, turn=2, generation=1))
    timeline.report(2100)
    assert timeline.heard(1).samples == 700
    assert timeline.heard(2).chars == 2
    timeline.report(900)
    assert timeline.heard(1).samples == 900


def test_an_unmeasured_clause_ends_where_the_next_begins():
    timeline = line(clause(0, None, "您好，", 0), clause(600, None, "退货。", 3))
    timeline.report(600)
    assert timeline.heard(1).chars == 3


def test_a_restored_timeline_knows_what_is_left():
    timeline = restored(RATE, CLAUSES, 700)
    assert [one.text for one in timeline.unheard(1, 700)] == ["退货要七天。", "运费自理。"]
    assert timeline.heard(1).samples == 700
    again = restored(RATE, [*CLAUSES, clause(600, 1100, "退货要七天。", 3)], 700)
    assert [one.samples for one in again.clauses] == [600, 1100]


@pytest.mark.parametrize(
    ("text", "ended", "rest"),
    [
        ("您好，退货", False, None),
        (SAID, False, ""),
        (SAID + "谢谢。", False, "谢谢。"),
        ("您好，退货要七", True, ""),
        ("您好，退货要7天。运费自理。发票可开。", False, "发票可开。"),
        ("您好，退货要7天。发票可开。", False, "发票可开。"),
        ("您好，请看订单页的说明文字。然后", False, "您好，请看订单页的说明文字。然后"),
        ("您好，退货要7天", False, None),
        ("", True, ""),
    ],
)
def test_a_text_that_comes_once_more_goes_on_where_it_was(text, ended, rest):
    place = where_to_go_on(SAID, text, ended)
    assert (None if place is None else text[place:]) == rest


def test_the_clock_and_the_client_tell_where_play_is():
    head = Playhead(RATE)
    assert head.wait(500, 1000, 5.0) == 0
    head.sent(2000, 5.0)
    assert head.at(5.5) == 500
    assert head.wait(2100, 1000, 5.5) == pytest.approx(0.6)
    head.hold(6.0)
    assert head.at(60.0) == 1000
    head.resume(60.0)
    assert head.at(60.5) == 1500
    head.report(1200, 60.5)
    assert head.at(60.6) == 1300
    assert head.at(70.0) == 1700
    head.jump(2000, 71.0)
    head.report(1500, 71.0)
    assert head.at(72.0) == 2000
    head.sent(2500, 80.0)
    assert head.at(80.25) == 2250
