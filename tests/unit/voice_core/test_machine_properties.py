"""What holds of any talk, however odd the order of events: found by random sequences (hypothesis)."""

from dataclasses import dataclass, replace
from itertools import chain
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicehelper.voice import model as m
from voicehelper.voice.journal import Journal, decode, decode_state, encode, encode_state
from voicehelper.voice.machine import TIMERS, step
from voicehelper.voice.replay import replay
from voicehelper.voice.state import SessionState, needed_from

TEXTS = (
    *("", "嗯", "对", "停", "等一下", "继续", "我想退货，因为", "你们的退货政策是什么？", "那换货呢", "不对，是上海"),
    *("谢谢观看", "订单号是138", "[音乐]", "七天无理由退货都可以", "uh-huh", "Stop.", "Hold on", "because", "???"),
    *("What is your refund policy?", "No, I mean London"),
)

OFTEN = st.sampled_from((True, True, True, False))
OPTIONS = st.builds(
    m.TurnOptions,
    automatic=OFTEN,
    answers=OFTEN,
    interruptible=OFTEN,
    spoken=OFTEN,
    partial_ms=st.sampled_from((0, 700)),
    dead_air_ms=st.sampled_from((0, 1500)),
    longest_ms=st.sampled_from((3000, 28_000)),
    idle_ms=st.sampled_from((0, 8000, 300_000)),
    resume_ms=st.sampled_from((2000, 30_000)),
)
NUMBER = st.integers(0, 4)  # how far behind the latest utterance or turn
MS = st.integers(0, 3000)
TEXT = st.sampled_from(TEXTS)


def _recognized(state: SessionState, back: int, text: str, final: bool, ms: int) -> m.Event:
    number = max(state.utterances - back // 3, 1)
    known = [
        one for one in (*state.finishing, *((state.utterance,) if state.utterance else ())) if one.number == number
    ]
    end = known[0].asked_end if known and final and ms % 4 else state.heard - ms
    return m.Recognized(number, text, max(end, 0), "zh", final, 0.1 if ms % 7 == 0 else 0.9)


EVENTS = st.one_of(
    st.builds(lambda ms: lambda s, n: m.SpeechStarted(max(n * 16 - ms, 0), n * 16), st.integers(0, 3000)),
    st.builds(lambda ms: lambda s, n: m.SpeechStopped(max(n * 16 - 3200 - ms, 0), n * 16), st.integers(0, 3000)),
    st.builds(lambda *a: lambda s, n: _recognized(s, *a), NUMBER, TEXT, st.booleans(), MS),
    st.builds(lambda *a: lambda s, n: _recognized(s, 0, *a), TEXT, st.just(True), st.just(1)),
    st.builds(lambda b, f: lambda s, n: m.RecognitionFailed(max(s.utterances - b, 1), 50302, f), NUMBER, st.booleans()),
    st.builds(
        lambda p, b: lambda s, n: m.TurnJudged(max(s.utterances - b, 1), s.heard, p), st.floats(0, 1), st.integers(0, 1)
    ),
    st.builds(lambda b: lambda s, n: m.AnswerSounding(max(s.turns - b, 0), s.played), NUMBER),
    st.builds(lambda b, t: lambda s, n: m.AnswerClause(max(s.turns - b, 0), t), NUMBER, TEXT),
    st.builds(lambda b, ms: lambda s, n: m.AnswerPaused(max(s.turns - b, 0), s.played + ms), NUMBER, MS),
    st.builds(
        lambda b, ms, q: lambda s, n: m.AnswerSpoken(max(s.turns - b, 0), s.played + ms, q), NUMBER, MS, st.booleans()
    ),
    st.builds(lambda b: lambda s, n: m.AnswerFailed(max(s.turns - b, 0), 50301), NUMBER),
    st.builds(lambda ms: lambda s, n: m.Played(s.played + ms), MS),
    st.builds(lambda name: lambda s, n: m.TimerFired(name, n * 16), st.sampled_from([*TIMERS, "endpoint"])),
    st.builds(lambda t, a, k: lambda s, n: m.TextTyped(t, a, k), TEXT, st.booleans(), st.booleans()),
    st.just(lambda s, n: m.InputCommitted(n * 16)),
    st.just(lambda s, n: m.InputCleared(n * 16)),
    st.just(lambda s, n: m.Interrupted()),
    st.just(lambda s, n: m.ResponseWanted()),
    st.just(lambda s, n: m.ConnectionLost()),
    st.builds(lambda ms: lambda s, n: m.ConnectionResumed(s.played + ms, needed_from(s) or s.heard), MS),
    st.builds(lambda o: lambda s, n: m.Configured(o), OPTIONS),
)
WAIT = st.integers(0, 900)
AN_EVENT = st.tuples(WAIT, EVENTS).map(lambda one: [one])


def _speech(begun: int, lasted: int, after: int, text: str) -> list:
    """A whole utterance, so that talks get somewhere."""
    return [
        (begun, lambda s, n: m.SpeechStarted(max(n - 64, 0) * 16, n * 16)),
        (lasted + 200, lambda s, n: m.SpeechStopped((n - 200) * 16, n * 16)),
        (after, lambda s, n: _recognized(s, 0, text, True, 1)),
    ]


def _answer(begun: int, lasts: int, asks: bool, played: int) -> list:
    return [
        (begun, lambda s, n: m.AnswerSounding(s.turns, s.played)),
        (0, lambda s, n: m.AnswerSpoken(s.turns, s.played + lasts, asks)),
        (played, lambda s, n: m.Played(s.played + played)),
    ]


SPEECH = st.builds(_speech, WAIT, MS, WAIT, TEXT)
ANSWER = st.builds(_answer, MS, MS, st.booleans(), MS)
STEPS = st.lists(st.one_of(SPEECH, AN_EVENT, ANSWER, SPEECH), min_size=8, max_size=30).map(
    lambda parts: list(chain(*parts))
)


@dataclass
class Checked:
    """A session whose every step is checked."""

    state: SessionState
    now: int = 0

    def __post_init__(self) -> None:
        self.asked: dict[int, str] = {}
        self.active: int | None = None
        self.acked = 0
        self.finals: list[int] = []
        self.journal = Journal()
        self.entries: list = []
        self.effects: list[tuple[m.Effect, ...]] = []

    def feed(self, event: m.Event, at: int) -> None:
        before, self.now = self.state, max(at, self.now)
        self.state, effects = step(before, event, self.now)
        self.entries.append(self.journal.record(self.now, event, effects))
        self.effects.append(effects)
        assert decode_state(encode_state(before)) == before
        assert decode(encode(event)) == event
        assert decode(encode(effects)) == effects
        assert step(decode_state(encode_state(before)), event, self.now) == (self.state, effects)
        if before.state == "closed":
            assert not effects
        self._turns_end(before, event)
        failed = before.turn is not None and event == m.AnswerFailed(before.turn.number, 50301)
        if failed and before.turn.sounding < 0:
            self.active = None
        for effect in effects:
            self._check(effect)
        assert self.state.state in get_args(m.State)
        assert all(at >= self.now or at >= before.now_ms for _, at in self.state.timers)
        start = needed_from(self.state)
        assert start is None or start >= 0
        if self.state.turn is None:
            assert not self.state.held

    def _turns_end(self, before: SessionState, event: m.Event) -> None:
        same = before.turn is not None and self.state.turn is not None and before.turn.number == self.state.turn.number
        if before.turn is not None and not same:
            end = event.end if isinstance(event, m.AnswerSpoken) else before.turn.end
            if 0 <= end <= self.state.played:
                self.active = None

    def _check(self, effect: m.Effect) -> None:
        if isinstance(effect, m.SetTimer):
            assert effect.at_ms >= self.now
        elif isinstance(effect, m.StopSound):
            assert effect.turn == self.active
            self.active = None
        elif isinstance(effect, m.Ask | m.Say):
            assert self.active in (None, effect.turn), "two turns at the same time"
            assert self.asked.setdefault(effect.turn, effect.text) == effect.text, "one turn, two questions"
            assert effect.turn == max(self.asked), "an old turn asked anew"
            assert effect.text.strip()
            self.active = effect.turn
        elif isinstance(effect, m.AckInput):
            assert effect.sample > self.acked
            self.acked = effect.sample
        elif isinstance(effect, m.Tell) and isinstance(effect.notice, m.Final):
            assert effect.notice.turn not in self.finals
            assert effect.notice.waited_ms >= 0
            self.finals.append(effect.notice.turn)
        elif isinstance(effect, m.Transcribe | m.JudgeTurn):
            assert 0 <= effect.start <= effect.end

    def fire_due(self, until: int) -> None:
        """Timers go off when they are due, in order."""
        for _ in range(50):
            due = sorted((at, name) for name, at in self.state.timers if at <= until)
            if not due:
                return
            at, name = due[0]
            self.feed(m.TimerFired(name, max(at, self.now) * 16), max(at, self.now))
        raise AssertionError("timers without end")


@given(options=OPTIONS, greeting=st.sampled_from(("", "您好")), steps=STEPS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_talk(options: m.TurnOptions, greeting: str, steps: list) -> None:
    talk = Checked(SessionState(options=options))
    talk.feed(m.Opened(greeting), 0)
    for wait, event in steps:
        at = talk.now + wait
        talk.fire_due(at)
        talk.feed(event(talk.state, at), at)
    again = replay(talk.entries, options)
    assert again.differs is None
    assert again.state == talk.state
    talk.feed(m.CloseRequested("client"), talk.now)
    assert talk.state.state == "closed"
    assert step(talk.state, m.TextTyped("?"), talk.now + 1) == (talk.state, ())


@given(options=OPTIONS, steps=STEPS, ms=st.integers(0, 69))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_taken_over_anywhere(options: m.TurnOptions, steps: list, ms: int) -> None:
    """A replica dies: another goes on from the stored state, and asks again by the same number."""
    talk = Checked(SessionState(options=replace(options, idle_ms=0)))
    talk.feed(m.Opened(), 0)
    for number, (wait, event) in enumerate(steps):
        at = talk.now + wait
        talk.fire_due(at)
        if number == ms:
            talk.state = decode_state(encode_state(talk.state))
            turn = talk.state.turn
            talk.feed(m.ConnectionResumed(talk.state.played, needed_from(talk.state) or talk.state.heard), at)
            again = [effect for effect in talk.effects[-1] if isinstance(effect, m.Ask | m.Say)]
            if turn is not None and turn.end < 0 and talk.state.state != "closed":
                assert [effect.turn for effect in again] == [turn.number]
            assert talk.state.utterance is None
        talk.feed(event(talk.state, at), at)
