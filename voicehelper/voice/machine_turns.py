"""From what was said to a question: which utterances are turns, what they interrupt or belong to, what is asked."""

from voicehelper.errors import InvalidInput
from voicehelper.voice import turn_taking
from voicehelper.voice.machine_run import Run
from voicehelper.voice.model import Ask, Dropped, DropReason, Failure, Final
from voicehelper.voice.partials import materially_differs, repeats
from voicehelper.voice.phrases import Kind, corrects, join, kind, nudges, wait_split
from voicehelper.voice.state import Pending, Turn, Utterance

YIELD_MS = 20_000
"""A question of ours is answered by a bare "yes" for so long."""
OVERLAP_MS = 1500
"""So near to the end of our question, the answer may come already."""
CUT_OFF_MS = 2000
"""Who goes on so soon was cut off."""
UNHEARD_MS = 300
"""Who begins so soon after our first sound has not reacted to it."""


def yields(run: Run) -> bool:
    """Whether a bare "yes" is an answer: we asked a question, and (almost) nothing sounds any more."""
    turn, asked = run.state.turn, run.state.question_ms
    if turn is None:
        return asked >= 0 and run.now - asked <= YIELD_MS
    return turn.question and turn.end >= 0 and turn.end - run.state.played <= OVERLAP_MS * 24


def verdict(run: Run, heard: Utterance) -> Kind:
    """What an utterance is, here and now: `complete` for a bare yes to our question; `empty` for noise; `hum` for
    an affirmation that is none."""
    found = kind(heard.text)
    if heard.committed and found not in ("empty", "invented", "stop", "wait"):
        return "complete"
    if found in ("hum", "affirmation") and yields(run):
        return "complete"
    if found == "complete" and len(heard.text) <= 3 and run.state.turn is not None and kind(heard.text[:-1]) == "hum":
        return "hum"
    return "empty" if found == "empty" or heard.confidence < run.options.min_confidence else found


def echoes(run: Run, heard: Utterance) -> bool:
    """Whether it is our own voice."""
    return run.state.turn is not None and not heard.committed and repeats(heard.text, run.state.echo)


def settle(run: Run, heard: Utterance) -> None:
    """An utterance is over, and its text is there (or failed)."""
    found = verdict(run, heard)
    run.clear("decide")
    if heard.failed and not heard.text:
        run.tell(Failure("recognition", heard.failed))
        _dropped(run, heard, "failed")
    elif found in ("empty", "invented"):
        _dropped(run, heard, "noise" if heard.text else "empty")
    elif echoes(run, heard):
        _dropped(run, heard, "echo")
    elif heard.segment:
        keep(run, heard, heard.text)
    elif found == "stop":
        _stopped(run, heard)
    elif found == "go_on" and run.state.held:
        run.set(waiting=False)
        run.clear("wait")
        _dropped(run, heard, "command")
    elif found == "wait":
        _asked_to_wait(run, heard)
    elif found in ("hum", "affirmation") or (found == "filler" and not run.state.said):
        _dropped(run, heard, "backchannel")
    elif _nudges(run, heard):
        _dropped(run, heard, "backchannel")
        run.hurry()
    else:
        complete(run, heard, heard.text)
    run.ack(heard.end)


def _stopped(run: Run, heard: Utterance) -> None:
    run.drop(heard, "command", heard.text)
    run.set(said=(), said_start=-1, said_language="", waiting=False)
    run.clear("wait")
    if run.options.interruptible:
        run.stop("asked")


def _nudges(run: Run, heard: Utterance) -> bool:
    """Whether he is only impatient: to ask anew what is being answered would keep him waiting for longer."""
    turn = run.state.turn
    if turn is None or not turn.asks or heard.committed or run.state.said or not run.unheard():
        return False
    return nudges(heard.text) or not materially_differs(turn.text, heard.text)


def _dropped(run: Run, heard: Utterance, reason: DropReason) -> None:
    run.drop(heard, reason, heard.text)
    if run.state.waiting:
        run.timer("wait", run.now + run.options.wait_ms)
        return
    if run.state.said and not run.state.finishing:
        complete(run, heard, "")
        return
    run.resume()
    if run.state.wanted and not run.state.finishing and run.state.utterance is None:
        answer_pending(run)


def _asked_to_wait(run: Run, heard: Utterance) -> None:
    before = wait_split(heard.text) or ""
    run.drop(heard, "wait", heard.text)
    if before:
        keep(run, heard, before)
    if run.options.interruptible:
        run.hold()
        run.clear("decide", "dead_air")
    run.set(waiting=True)
    run.timer("wait", run.now + run.options.wait_ms)


def keep(run: Run, heard: Utterance, text: str) -> None:
    """A part of a turn that goes on."""
    start = heard.start if run.state.said_start < 0 else run.state.said_start
    language = heard.language or run.state.said_language
    run.set(said=(*run.state.said, text), said_start=start, said_language=language)


def waited(run: Run) -> None:
    """He asked to wait, and said nothing more: what he had begun is his turn. An answer that he had not heard begin is
    said now; one that he broke off stays so."""
    if run.state.utterance is not None or run.state.finishing:
        run.timer("wait", run.now + run.options.wait_ms)
        return
    run.set(waiting=False)
    if run.state.said:
        close_said(run)
    elif run.unheard() or not run.options.interruptible:
        run.resume()
    else:
        run.stop("asked")


def close_said(run: Run) -> None:
    """The turn that was cut is over."""
    number, now = run.state.utterances, run.state.heard
    complete(run, Utterance(number, run.state.said_start, now, run.now, told=True, pause=now, paused_ms=run.now), "")


def complete(run: Run, heard: Utterance, text: str) -> None:
    """A turn of the user's: told, and asked unless that has to wait."""
    text = _joined((*run.state.said, text))
    language = heard.language or run.state.said_language
    start = heard.start if run.state.said_start < 0 else run.state.said_start
    before = run.state.turn if belongs(run, heard, text) else None
    run.set(said=(), said_start=-1, said_language="", waiting=False, turns=run.state.turns + 1)
    run.clear("wait")
    run.touch()
    number = run.state.turns
    text = join(before.text, text) if before else text
    waited_ms = max(run.now - heard.paused_ms, 0)
    if before and heard.began_ms - before.ended_ms < CUT_OFF_MS:
        run.set(pace_ms=turn_taking.pace(run.state.pace_ms, heard.began_ms - before.ended_ms))
    replaces = before.number if before else 0
    run.tell(Final(heard.number, number, text, language, start, heard.end, waited_ms, replaces))
    blocked = run.state.turn is not None and not run.options.interruptible and not heard.committed
    if blocked or not (run.options.answers or run.state.wanted):
        run.set(pending=(*run.state.pending, Pending(number, text, language, run.options.spoken)))
        run.resume()
    else:
        run.stop("superseded" if before else "interrupted")
        ask(run, Pending(number, text, language, run.options.spoken), replaces, run.now - waited_ms)


def belongs(run: Run, heard: Utterance, text: str) -> bool:
    """Whether it goes on, or corrects, the question that is being answered, of whose answer nothing was heard."""
    turn = run.state.turn
    if turn is None or not turn.asks or not run.options.answers or heard.committed or not run.options.interruptible:
        return False
    if not run.unheard() and heard.began_ms > turn.sounding_ms + UNHEARD_MS:
        return False
    return heard.began_ms - turn.asked_ms <= run.options.merge_ms or corrects(text)


def _joined(texts: tuple[str, ...]) -> str:
    whole = ""
    for text in texts:
        whole = join(whole, text)
    return whole


def ask(run: Run, last: Pending, replaces: int = 0, ended_ms: int = -1) -> None:
    """Put the question, together with those that nobody answered. `ended_ms`: when he had fallen silent."""
    text = "\n".join((*(one.text for one in run.state.pending if one.turn != last.turn), last.text))
    turn = Turn(last.turn, text, last.language, run.now, last.spoken, replaces=replaces, ended_ms=max(ended_ms, 0))
    run.set(turn=turn, pending=(), wanted=False, question_ms=-1, echo="")
    run.emit(Ask(turn.number, text, turn.language, turn.spoken, replaces))
    run.await_sound()
    if run.options.interruptible and run.options.automatic and run.talking():
        run.hold()


def typed(run: Run, text: str, answer: bool, spoken: bool) -> None:
    """The user typed: a turn at once, which ends whatever is being answered."""
    if not text.strip():
        return
    text = _joined((*run.state.said, text.strip()))
    run.set(said=(), said_start=-1, said_language="", waiting=False, turns=run.state.turns + 1)
    run.clear("wait")
    run.touch()
    new = Pending(run.state.turns, text, "", spoken and run.options.spoken)
    if answer and run.options.answers:
        run.stop("interrupted")
        ask(run, new)
    else:
        run.set(pending=(*run.state.pending, new))


def answer_pending(run: Run) -> None:
    """The client wants an answer: to what was said, or to what is being said."""
    if run.state.pending:
        run.stop("interrupted")
        ask(run, run.state.pending[-1])
    elif run.state.finishing or run.state.utterance or run.state.said:
        run.set(wanted=True)
    else:
        run.set(wanted=False)
        run.tell(Failure("response", InvalidInput.code))


def over(run: Run) -> None:
    """The turn being answered is over; the next, if one waits."""
    turn = run.state.turn
    run.clear("dead_air")
    run.resume()
    run.set(turn=None, question_ms=run.now if turn and turn.question else -1)
    run.touch()
    if run.state.pending and run.options.answers:
        ask(run, run.state.pending[-1])


def cleared(run: Run, heard: int) -> None:
    """What was said since the last turn is forgotten."""
    for one in (*run.state.finishing, *((run.state.utterance,) if run.state.utterance else ())):
        if one.told:
            run.tell(Dropped(one.number, "cleared", one.text))
    run.clear("confirm", "decide", "endpoint", "partial", "longest", "wait", "final", "retry")
    run.set(utterance=None, finishing=(), said=(), said_start=-1, said_language="", waiting=False, wanted=False)
    run.resume()
    run.ack(run.heard_now(heard))
