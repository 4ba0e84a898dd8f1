"""The session's core: what happened, and when, in; what is to be done out. No clock, no task, no model: all time is the
caller's, so that a whole talk runs in a test within milliseconds and a recorded one replays to the bit."""

from collections.abc import Callable
from typing import Any

from voicehelper.voice import machine_hearing as hearing
from voicehelper.voice import machine_session as session
from voicehelper.voice import machine_sound as sound
from voicehelper.voice import machine_turns as turns
from voicehelper.voice import machine_words as words
from voicehelper.voice import model as m
from voicehelper.voice.machine_run import SAMPLES_PER_MS, Run, visible
from voicehelper.voice.state import SessionState

Handler = Callable[[Run, Any], None]

HANDLERS: dict[type, Handler] = {
    m.Opened: session.opened,
    m.SpeechStarted: hearing.started,
    m.SpeechStopped: hearing.stopped,
    m.Recognized: words.recognized,
    m.RecognitionFailed: words.recognition_failed,
    m.TurnJudged: hearing.judged,
    m.AnswerSounding: sound.sounding,
    m.AnswerClause: sound.clause,
    m.AnswerPaused: sound.paused,
    m.AnswerSpoken: sound.spoken,
    m.AnswerFailed: sound.failed,
    m.Played: sound.played,
    m.TextTyped: lambda run, event: turns.typed(run, event.text, event.answer, event.spoken),
    m.InputCommitted: session.committed,
    m.InputCleared: lambda run, event: turns.cleared(run, event.heard),
    m.Interrupted: sound.interrupted,
    m.ResponseWanted: lambda run, _: turns.answer_pending(run),
    m.ConnectionLost: session.lost,
    m.ConnectionResumed: session.resumed,
    m.Configured: session.configured,
    m.CloseRequested: session.closed,
}

TIMERS: dict[str, Callable[[Run], None]] = {
    "confirm": hearing.confirm,
    "partial": words.partial,
    "longest": session.too_long,
    "final": session.overdue,
    "retry": words.retry,
    "decide": sound.decide,
    "wait": turns.waited,
    "dead_air": sound.dead_air,
    "idle": session.idle,
    "resume": session.gone,
}


def step(state: SessionState, event: m.Event, now_ms: int) -> tuple[SessionState, tuple[m.Effect, ...]]:
    """The state after the event, and what is to be done, in order. `now_ms` is the session's own clock, which also goes
    on across replicas. A closed session does nothing."""
    if state.state == "closed":
        return state, ()
    run = Run(state, now_ms)
    if isinstance(event, m.TimerFired):
        _timer(run, event)
    else:
        HANDLERS[type(event)](run, event)
    shown = visible(run.state)
    if shown != run.state.state:
        run.set(state=shown)
        run.tell(m.StateChanged(shown))
    return run.state, tuple(run.effects)


def _timer(run: Run, event: m.TimerFired) -> None:
    timers = dict(run.state.timers)
    at_ms = timers.pop(event.name, None)
    if at_ms is None:
        return  # taken back while it was on its way
    if at_ms > run.now:
        run.emit(m.SetTimer(event.name, at_ms))
        return
    run.set(timers=tuple(timers.items()))
    heard = run.state.utterance
    run.listen(event.heard or (heard.onset + (run.now - heard.began_ms) * SAMPLES_PER_MS if heard else 0))
    if event.name == "endpoint":
        hearing.endpoint(run, event.heard)
    else:
        TIMERS[event.name](run)
