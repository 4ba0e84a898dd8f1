"""A talk in virtual time: a user who speaks, pauses, coughs and types by a script, a detector, a recogniser and answers
of fixed delays, and the machine between them. An hour of it takes milliseconds."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.unit.voice_core.turn_times import Stopwatch, TurnTimes
from voicehelper.voice import model as m
from voicehelper.voice.journal import Entry, Journal, decode_state, encode_state
from voicehelper.voice.machine import step
from voicehelper.voice.replay import replay
from voicehelper.voice.state import SessionState, needed_from

PER_MS = 16
OUT_PER_MS = 24


@dataclass(frozen=True)
class Say:
    """The user speaks `text` from `at` for `lasts` ms. `sounds`: how finished it sounds (Smart Turn)."""

    at: int
    text: str
    lasts: int = 0
    sounds: float | None = None
    confidence: float = 0.9

    @property
    def ms(self) -> int:
        return self.lasts or max(250, 180 * sum(2 if char > "\u3000" else 1 for char in self.text) // 2)

    @property
    def end(self) -> int:
        return self.at + self.ms


@dataclass(frozen=True)
class Do:
    """Something else happens at `at`."""

    at: int
    event: m.Event


@dataclass(frozen=True)
class Lose:
    """The connection breaks at `at` and is back at `back` (never: 0). `elsewhere`: on a replica that knows only what
    was stored."""

    at: int
    back: int = 0
    elsewhere: bool = False


@dataclass
class World:
    """Delays of what is outside the machine, in milliseconds."""

    options: m.TurnOptions = m.TurnOptions()
    onset_ms: int = 64
    hangover_ms: int = 200
    asr_ms: int = 150
    judge_ms: int = 60
    answer_ms: int = 600
    answer_lasts: int = 4000
    answer_text: str = "我们的退货政策是七天之内无理由退货"
    asks_back: bool = False
    failing: tuple[int, ...] = ()
    answer_fails: bool = False
    mute_answers: bool = False
    stalls_at: int = 0
    greeting: str = ""
    until: int = 30_000


@dataclass
class Talk:
    """Runs a script. `log` holds what was done, as short lines; `at` when."""

    script: tuple[Say | Do | Lose, ...]
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.state = SessionState(options=self.world.options)
        self.now = 0
        self.log: list[str] = []
        self.at: list[int] = []
        self.finals: list[m.Final] = []
        self.effects: list[tuple[m.Effect, ...]] = []
        self.journal: list[Entry] = []
        self.times: list[TurnTimes] = []
        self._clock = Stopwatch()
        self._writer = Journal()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._timers: dict[str, int] = {}
        self._sound: dict[int, tuple[int, int]] = {}  # turn -> begin and end of its sound (output samples)
        self._playing_since: int | None = None
        self._out = 0  # output samples made
        self._played = 0
        self._held = False
        self._running: set[int] = set()
        self._transcriptions = 0
        self._offline = False
        self._dead = False
        self.prepared: list[str] = []
        self.prepared_at: list[int] = []

    # -- the world

    def run(self) -> "Talk":
        self._at(0, lambda: self.feed(m.Opened(self.world.greeting)))
        for act in self.script:
            if isinstance(act, Do):
                self._at(act.at, partial(self._happen, act.event))
            elif isinstance(act, Lose):
                self._at(act.at, partial(self._lose, act))
            else:
                self._speech(act)
        while self._queue and self._queue[0][0] <= self.world.until and self.state.state != "closed":
            self.now, _, what = heapq.heappop(self._queue)
            what()
        return self

    def _happen(self, event: m.Event) -> None:
        if isinstance(event, m.InputCommitted | m.InputCleared):
            event = type(event)(heard=self.now * PER_MS)
        self.feed(event)

    def _at(self, ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (ms, next(self._order), act))

    def _speech(self, say: Say) -> None:
        self._at(say.at + self.world.onset_ms, lambda: self._vad(m.SpeechStarted, say.at))
        followed = any(
            isinstance(other, Say) and 0 <= other.at - say.end < self.world.hangover_ms
            for other in self.script
            if other is not say
        )
        if not followed:
            self._at(say.end + self.world.hangover_ms, lambda: self._vad(m.SpeechStopped, say.end))

    def _vad(self, kind: type, ms: int) -> None:
        if not self._offline:
            self.feed(kind(ms * PER_MS, self.now * PER_MS))

    def _text(self, start: int, end: int) -> tuple[str, float]:
        text, confidence = "", 1.0
        for say in self.script:
            if isinstance(say, Say) and say.end * PER_MS > start and say.at * PER_MS < end:
                first, last = ((sample / PER_MS - say.at) / say.ms for sample in (start, end))
                text += say.text[round(len(say.text) * max(0.0, first)) : round(len(say.text) * min(1.0, last))]
                confidence = say.confidence
        return text, confidence

    def _lose(self, lose: Lose) -> None:
        self._offline = True
        stored = encode_state(self.state)
        if lose.elsewhere:
            self._dead = True
        else:
            self.feed(m.ConnectionLost())
        if lose.back:
            self._at(lose.back, lambda: self._back(stored if lose.elsewhere else None))

    def _back(self, stored: dict | None) -> None:
        self._offline = self._dead = False
        if stored is not None:
            self.state = decode_state(stored)
            self._timers.clear()
            self._running.clear()
            self._sound.clear()
            self._playing_since = None
            self._held = False
        start = needed_from(self.state)
        start = self.now * PER_MS if start is None else start
        self.log_line("resumed")
        self.feed(m.ConnectionResumed(self.state.played, start))
        for say in self.script:  # the client sends what it recorded once more: a burst
            if isinstance(say, Say) and say.at * PER_MS >= start and say.at + self.world.onset_ms < self.now:
                self.feed(m.SpeechStarted(say.at * PER_MS, (say.at + self.world.onset_ms) * PER_MS))
                if say.end + self.world.hangover_ms < self.now:
                    self.feed(m.SpeechStopped(say.end * PER_MS, (say.end + self.world.hangover_ms) * PER_MS))

    # -- the machine

    def feed(self, event: m.Event) -> None:
        """One step, with all that must hold at any."""
        if self._dead:
            return
        if isinstance(event, m.TimerFired):
            self._timers.pop(event.name, None)
        before = self.state
        self.state, effects = step(before, event, self.now)
        again = step(decode_state(encode_state(before)), event, self.now)
        assert again == (self.state, effects), "a restored state goes on differently"
        self.journal.append(self._writer.record(self.now, event, effects))
        if times := self._clock.observe(self.now, event, effects):
            self.times.append(times)
        self.effects.append(effects)
        for effect in effects:
            self._carry_out(effect)

    def log_line(self, line: str) -> None:
        self.log.append(line)
        self.at.append(self.now)

    def _carry_out(self, effect: m.Effect) -> None:
        handlers: dict[type, Callable[..., None]] = {
            m.SetTimer: self._set_timer,
            m.ClearTimer: self._clear_timer,
            m.Transcribe: self._transcribe,
            m.JudgeTurn: self._judge_turn,
            m.Prepare: self._prepare,
            m.Ask: self._ask,
            m.Say: self._say,
            m.HoldSound: self._hold_sound,
            m.ResumeSound: self._resume_sound,
            m.StopSound: self._stop_sound,
            m.Acknowledge: self._acknowledge,
            m.Tell: self._tell,
            m.End: self._end,
        }
        if type(effect) in handlers:
            handlers[type(effect)](effect)

    def _set_timer(self, effect: m.SetTimer) -> None:
        assert effect.at_ms >= self.now
        self._timers[effect.name] = effect.at_ms
        self._at(effect.at_ms, lambda: self._fire(effect))

    def _clear_timer(self, effect: m.ClearTimer) -> None:
        self._timers.pop(effect.name, None)

    def _fire(self, effect: m.SetTimer) -> None:
        if self._timers.get(effect.name) == effect.at_ms:
            heard = self.now * PER_MS
            if self.world.stalls_at and self.now > self.world.stalls_at:
                heard = self.world.stalls_at * PER_MS
            self.feed(m.TimerFired(effect.name, heard))

    def _transcribe(self, effect: m.Transcribe) -> None:
        self._transcriptions += 1
        number = self._transcriptions
        text, confidence = self._text(effect.start, effect.end)
        if number in self.world.failing or -1 in self.world.failing:
            failed = m.RecognitionFailed(effect.utterance, 50302, effect.final)
            self._at(self.now + self.world.asr_ms, lambda: self.feed(failed))
            return
        language = "zh" if any(char > "\u3000" for char in text) else "en"
        done = m.Recognized(effect.utterance, text, effect.end, language, effect.final, confidence)
        self._at(self.now + self.world.asr_ms, lambda: self.feed(done))

    def _judge_turn(self, effect: m.JudgeTurn) -> None:
        said = [say for say in self.script if isinstance(say, Say) and say.at * PER_MS < effect.end]
        if said and said[-1].sounds is not None:
            judged = m.TurnJudged(effect.utterance, effect.end, said[-1].sounds)
            self._at(self.now + self.world.judge_ms, lambda: self.feed(judged))

    def _prepare(self, effect: m.Prepare) -> None:
        self.prepared.append(effect.text)
        self.prepared_at.append(self.now)

    def _ask(self, effect: m.Ask) -> None:
        self.log_line(f"ask {effect.text}" + (f" (for {effect.replaces})" if effect.replaces else ""))
        self._answer(effect.turn)

    def _say(self, effect: m.Say) -> None:
        self.log_line(f"say {effect.text}")
        self._answer(effect.turn)

    def _answer(self, turn: int) -> None:
        if turn in self._running or self.world.mute_answers:
            return
        self._running.add(turn)
        if self.world.answer_fails:
            self._at(self.now + self.world.answer_ms, lambda: self.feed(m.AnswerFailed(turn, 50302)))
            return
        self._at(self.now + self.world.answer_ms, lambda: self._sounds(turn))

    def _sounds(self, turn: int) -> None:
        if turn not in self._running:
            return
        begin, self._out = self._out, self._out + self.world.answer_lasts * OUT_PER_MS
        self._sound[turn] = (begin, self._out)
        self._playing_since = None if self._held else self.now
        self.feed(m.AnswerClause(turn, self.world.answer_text))
        self.feed(m.AnswerSounding(turn, begin))
        self.feed(m.AnswerSpoken(turn, self._out, self.world.asks_back))
        self._at(self.now + 100, lambda: self._play(turn))

    def _play(self, turn: int) -> None:
        if turn not in self._running:
            return
        if not self._held and not self._offline:
            self._played = min(self._played + 100 * OUT_PER_MS, self._out)
            self.feed(m.Played(self._played))
        if self._played < self._out:
            self._at(self.now + 100, lambda: self._play(turn))
        else:
            self._running.discard(turn)

    def _hold_sound(self, _: m.HoldSound) -> None:
        if not self._held:
            self._held = True
            self.log_line("hold")

    def _resume_sound(self, _: m.ResumeSound) -> None:
        self._held = False
        self.log_line("resume")

    def _stop_sound(self, effect: m.StopSound) -> None:
        self._held = False
        self._running.discard(effect.turn)
        self._out = self._played
        self.log_line(f"stop {effect.reason}")

    def _acknowledge(self, _: m.Acknowledge) -> None:
        self.log_line("acknowledge")

    def _tell(self, effect: m.Tell) -> None:
        notice = effect.notice
        if isinstance(notice, m.Dropped):
            self.log_line(f"drop {notice.reason}" + (f" {notice.text}" if notice.text else ""))
        elif isinstance(notice, m.Failure):
            self.log_line(f"failure {notice.what}")
        elif isinstance(notice, m.Final):
            self.finals.append(notice)

    def _end(self, effect: m.End) -> None:
        self.log_line(f"end {effect.reason}")


@dataclass(frozen=True)
class Case:
    """A talk and what it does. `waited`: bounds of the silence before each turn was sure (ms)."""

    name: str
    script: tuple[Say | Do | Lose, ...]
    expect: list[str]
    waited: tuple[tuple[int, int], ...] = ()
    world: World = field(default_factory=World)

    def check(self) -> Talk:
        """Run it; replay what was recorded."""
        talk = Talk(self.script, self.world).run()
        assert talk.log == self.expect, list(zip(talk.at, talk.log, strict=True))
        for final, (least, most) in zip(talk.finals, self.waited, strict=False):
            assert least <= final.waited_ms <= most
        again = replay(talk.journal, self.world.options)
        assert again.differs is None
        assert again.effects == tuple(talk.effects)
        return talk


def zh(at: int, text: str, **more: Any) -> Say:
    """Said in Chinese."""
    return Say(at, text, **more)


QUESTION = zh(1000, "你们的退货政策是什么？")
"""Ends at 2980; asked at about 3330; the answer sounds from about 3930 to 7930."""
HEAR = "ask 你们的退货政策是什么？"
ENGLISH = Say(1000, "What is your refund policy?", 1500)
LISTEN = "ask What is your refund policy?"
