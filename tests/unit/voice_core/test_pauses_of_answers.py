"""An answer that pauses (a tool runs), and one that is only written."""

from dataclasses import replace

from voicehelper.voice import model as m
from voicehelper.voice.machine import step
from voicehelper.voice.state import SessionState


class Session:
    """The machine, and what it last did."""

    def __init__(self, options: m.TurnOptions | None = None) -> None:
        self.state = SessionState(options=options or m.TurnOptions())
        self.effects: tuple[m.Effect, ...] = ()

    def feed(self, now: int, event: m.Event) -> tuple[m.Effect, ...]:
        self.state, self.effects = step(self.state, event, now)
        return self.effects

    def timer(self, name: str) -> int | None:
        return dict(self.state.timers).get(name)


def test_silence_within_an_answer_is_filled() -> None:
    session = Session()
    session.feed(0, m.TextTyped("查一下我的订单"))
    session.feed(500, m.AnswerSounding(1, 0))
    session.feed(900, m.AnswerPaused(1, 24_000))
    assert session.timer("dead_air") is None  # it still plays
    session.feed(1500, m.Played(24_000))
    assert session.timer("dead_air") == 3000
    assert m.Acknowledge(1, 1) in session.feed(3000, m.TimerFired("dead_air"))
    session.feed(4000, m.AnswerSounding(1, 48_000))
    assert session.timer("dead_air") is None


def test_a_pause_that_ends_is_not_filled() -> None:
    session = Session()
    session.feed(0, m.TextTyped("查一下我的订单"))
    session.feed(500, m.AnswerSounding(1, 0))
    session.feed(900, m.AnswerPaused(1, 0))
    session.feed(1000, m.AnswerSounding(1, 10_000))
    assert session.feed(2400, m.TimerFired("dead_air")) == ()


def test_a_written_answer_is_over_when_it_is_written() -> None:
    session = Session(replace(m.TurnOptions(), spoken=False))
    session.feed(0, m.TextTyped("运费多少"))
    before = session.state.state
    assert session.timer("dead_air") is None
    session.feed(900, m.AnswerSpoken(1, 0))
    assert (before, session.state.state) == ("thinking", "listening")


def test_events_of_an_old_turn_do_nothing() -> None:
    session = Session()
    session.feed(0, m.TextTyped("运费多少"))
    session.feed(100, m.TextTyped("到上海"))
    for event in (m.AnswerSounding(1, 0), m.AnswerPaused(1, 0), m.AnswerSpoken(1, 10), m.AnswerFailed(1, 50301)):
        assert session.feed(200, event) == ()
    assert session.state.turn is not None
    assert session.state.turn.number == 2


def test_a_timer_that_comes_early_is_set_again() -> None:
    session = Session()
    session.feed(0, m.TextTyped("运费多少"))
    assert session.feed(1000, m.TimerFired("dead_air")) == (m.SetTimer("dead_air", 1500),)
