"""What becomes of an answer: it sounds, pauses, ends, fails, is stopped; silence is filled; a hold is decided."""

from voicehelper.voice.machine_run import SAMPLES_PER_MS, Run
from voicehelper.voice.machine_turns import ask, echoes, over, verdict
from voicehelper.voice.model import (
    Acknowledge,
    AnswerClause,
    AnswerFailed,
    AnswerPaused,
    AnswerSounding,
    AnswerSpoken,
    Failure,
    Interrupted,
    Played,
)
from voicehelper.voice.state import Turn

ECHO_CHARS = 400


def _turn(run: Run, number: int) -> Turn | None:
    turn = run.state.turn
    return turn if turn is not None and turn.number == number else None


def sounding(run: Run, event: AnswerSounding) -> None:
    """The answer begins to sound, or goes on after a pause."""
    if turn := _turn(run, event.turn):
        run.clear("dead_air")
        run.touch()
        first = {"sounding": event.sample, "sounding_ms": run.now} if turn.sounding < 0 else {}
        run.alter_turn(turn, paused=-1, **first)


def clause(run: Run, event: AnswerClause) -> None:
    """What is said now."""
    run.set(echo=(run.state.echo + " " + event.text)[-ECHO_CHARS:])


def paused(run: Run, event: AnswerPaused) -> None:
    """What is ready ends here."""
    if turn := _turn(run, event.turn):
        run.alter_turn(turn, paused=event.end)
        if event.end <= run.state.played:
            run.await_sound()


def spoken(run: Run, event: AnswerSpoken) -> None:
    """All of it is ready."""
    if turn := _turn(run, event.turn):
        run.clear("dead_air")
        run.alter_turn(turn, end=event.end, paused=-1, question=event.asks)
        _finish(run)


def failed(run: Run, event: AnswerFailed) -> None:
    """No more of it comes."""
    if turn := _turn(run, event.turn):
        run.tell(Failure("answer", event.code, turn.number))
        if turn.sounding >= 0:
            run.stop("failed")
        over(run)


def played(run: Run, event: Played) -> None:
    """The client has played so far."""
    if event.sample <= run.state.played:
        return
    run.set(played=event.sample)
    turn = run.state.turn
    if turn is not None:
        run.touch()
        if 0 <= turn.paused <= event.sample and "dead_air" not in dict(run.state.timers):
            run.await_sound()
        _finish(run)


def _finish(run: Run) -> None:
    turn = run.state.turn
    if turn is not None and 0 <= turn.end <= run.state.played:
        over(run)


def interrupted(run: Run, _: Interrupted) -> None:
    """The client asks for silence."""
    run.set(waiting=False)
    run.clear("wait")
    run.stop("asked")
    if run.state.pending and run.options.answers:
        ask(run, run.state.pending[-1])


def dead_air(run: Run) -> None:
    """Nothing has sounded for a while."""
    turn = run.state.turn
    if turn is None or not run.state.connected or turn.end >= 0:
        return
    if run.state.held or run.state.waiting:
        return  # a resume begins it anew
    if run.talking():
        run.await_sound()
        return
    turn = run.alter_turn(turn, acknowledged=turn.acknowledged + 1)
    run.emit(Acknowledge(turn.number, turn.acknowledged))
    run.await_sound()


def decide(run: Run) -> None:
    """The sound was held long enough for speech that has not shown to be a turn."""
    heard = run.state.utterance
    if not run.state.held or run.state.waiting:
        return
    if heard is None:
        run.resume()
    elif heard.pause >= 0 or run.state.finishing:
        run.timer("decide", run.now + run.options.decide_ms)  # its text is on the way, or it fails
    elif heard.text_end >= heard.onset + 400 * SAMPLES_PER_MS:
        if verdict(run, heard) in ("empty", "invented") or echoes(run, heard):
            run.alter(heard, released=True)
            run.resume()
    elif run.options.partial_ms == 0 or run.now - heard.began_ms >= 3 * run.options.decide_ms:
        run.stop("interrupted")  # nobody can tell what he says, but he says a lot
    else:
        run.timer("decide", run.now + run.options.decide_ms)
