"""The session's frame: it opens, loses and finds its client, is configured, committed by hand, idle, closed."""

from voicehelper.errors import ModelUnavailable
from voicehelper.voice.machine_hearing import TIMERS, begin, consider, finish
from voicehelper.voice.machine_run import SAMPLES_PER_MS, Run
from voicehelper.voice.machine_sound import played
from voicehelper.voice.machine_words import give_up
from voicehelper.voice.model import (
    Ask,
    CloseRequested,
    Configured,
    ConnectionLost,
    ConnectionResumed,
    Dropped,
    HoldSound,
    InputCommitted,
    Opened,
    Played,
    Say,
    SetTimer,
    Transcribe,
    UserStopped,
)
from voicehelper.voice.state import Turn, Utterance

SHORTEST_MS = 100
"""Less than this cannot be committed."""


def opened(run: Run, event: Opened) -> None:
    """The session begins."""
    run.touch()
    idle(run)
    if event.greeting:
        run.set(turns=run.state.turns + 1)
        turn = Turn(run.state.turns, event.greeting, event.language, run.now, asks=False)
        run.set(turn=turn)
        run.emit(Say(turn.number, turn.text, turn.language))


def idle(run: Run) -> None:
    """Nothing said for so long closes it."""
    limit = run.options.idle_ms
    if not limit or not run.state.connected:
        return
    at = run.state.active_ms + limit
    if run.now >= at and run.state.utterance is None:
        run.close("idle")
    else:
        run.timer("idle", max(at, run.now + 1000))


def configured(run: Run, event: Configured) -> None:
    """Turn taking changes."""
    before, heard = run.options, run.state.utterance
    run.set(options=event.options)
    run.touch()
    if before.idle_ms != event.options.idle_ms:
        run.clear("idle")
        idle(run)
    if heard is not None and not event.options.automatic:
        run.clear("endpoint", "confirm")
    elif heard is not None and heard.pause >= 0 and not before.automatic:
        consider(run, run.alter(heard, paused_ms=run.now))


def committed(run: Run, event: InputCommitted) -> None:
    """The client says that he is done."""
    end = run.heard_now(event.heard)
    run.listen(end)
    run.touch()
    heard = run.state.utterance or _unheard(run, end)
    if heard is None and run.state.finishing:
        return  # it had ended already
    if heard is None:
        run.set(utterances=run.state.utterances + 1)
        run.tell(Dropped(run.state.utterances, "empty"))
        return
    heard = run.alter(heard, committed=True)
    if heard.covered and heard.final:
        finish(run, heard)
        return
    if heard.pause < 0:
        end = max(end, heard.onset)
        run.tell(UserStopped(heard.number, end))
        heard = run.alter(heard, pause=end, paused_ms=run.now)
    _hand_over(run, heard)


def _unheard(run: Run, end: int) -> Utterance | None:
    """What was recorded, though the detector found no speech in it."""
    start = max(run.state.acked, *(one.end for one in run.state.finishing), end - run.options.longest_ms * 16, 0)
    if end - start < SHORTEST_MS * SAMPLES_PER_MS or run.options.automatic:
        return None
    return begin(run, start, end)


def _hand_over(run: Run, heard: Utterance) -> Utterance:
    """It is over; its text is awaited beside what comes next."""
    if heard.asked_end < heard.pause:
        heard = run.transcribe(heard, heard.pause)
    run.clear(*TIMERS)
    heard = run.alter(heard, due=True)
    run.set(utterance=None, finishing=(*run.state.finishing, heard))
    run.timer("final", run.now + 15_000)
    return heard


def too_long(run: Run) -> None:
    """Cut it, where he drew breath if he did in its second half."""
    heard = run.state.utterance
    if heard is None:
        return
    if heard.pause >= 0:
        _hand_over(run, run.alter(heard, committed=not run.options.automatic))
        return
    half = heard.onset + run.options.longest_ms * SAMPLES_PER_MS // 2
    now = max(run.state.heard, heard.onset + (run.now - heard.began_ms) * SAMPLES_PER_MS)
    cut = heard.breath if heard.breath > half else now
    _hand_over(run, run.alter(heard, pause=cut, paused_ms=run.now, segment=True))
    begin(run, cut, now)


def overdue(run: Run) -> None:
    """A transcript that never came."""
    for one in (*run.state.finishing, *((run.state.utterance,) if run.state.utterance else ())):
        if one.due and not one.final and run.now - one.asked_ms >= 15_000:
            give_up(run, one, ModelUnavailable.code)
    left = [one for one in run.state.finishing if not one.final]
    if left:
        run.timer("final", min(one.asked_ms for one in left) + 15_000)


def lost(run: Run, _: ConnectionLost) -> None:
    """Wait for the client. What he was saying he will send again."""
    if not run.state.connected:
        return
    _abandon(run)
    run.clear("idle", "dead_air", "decide")
    run.set(connected=False)
    run.timer("resume", run.now + run.options.resume_ms)


def _abandon(run: Run) -> None:
    heard = run.state.utterance
    run.set(speech=False)
    if heard is not None and heard.due:
        _hand_over(run, heard)  # it was over
        return
    run.clear(*TIMERS)
    run.set(utterance=None)
    if heard is not None:
        run.set(again=heard.start)
    if heard is not None and not run.state.finishing:
        run.clear("final", "retry")


def resumed(run: Run, event: ConnectionResumed) -> None:
    """The client is back. Everything that was under way is set going again; what is already under way stays so."""
    _abandon(run)
    run.clear("resume")
    run.set(connected=True, again=-1, heard=min(run.state.heard, max(event.input_from, run.state.acked)))
    run.touch()
    for name, at_ms in run.state.timers:
        run.emit(SetTimer(name, max(at_ms, run.now)))
    run.set(timers=tuple((name, max(at_ms, run.now)) for name, at_ms in run.state.timers))
    for one in run.state.finishing:
        if not one.final:
            run.emit(Transcribe(one.number, one.start, one.asked_end, True))
            run.alter(one, asked_ms=run.now)
    _say_again(run)
    played(run, Played(event.played))
    idle(run)


def _say_again(run: Run) -> None:
    turn = run.state.turn
    if turn is None:
        return
    if turn.end < 0 and turn.asks:
        run.emit(Ask(turn.number, turn.text, turn.language, turn.spoken, turn.replaces))
        run.await_sound()
    elif turn.end < 0:
        run.emit(Say(turn.number, turn.text, turn.language))
    if run.state.held:
        run.emit(HoldSound())
        if not run.state.waiting:
            run.timer("decide", run.now + run.options.decide_ms)


def gone(run: Run) -> None:
    """Nobody came back."""
    run.close("lost")


def closed(run: Run, event: CloseRequested) -> None:
    """The session ends."""
    run.close(event.reason)
