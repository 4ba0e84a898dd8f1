"""Hearing: where an utterance begins and ends, when it is written down, and when it is over."""

from voicehelper.voice import turn_taking
from voicehelper.voice.machine_run import SAMPLES_PER_MS, Run
from voicehelper.voice.machine_turns import UNHEARD_MS, belongs, echoes, settle, verdict, yields
from voicehelper.voice.model import (
    JudgeTurn,
    Partial,
    Prepare,
    RecognitionFailed,
    Recognized,
    SpeechStarted,
    SpeechStopped,
    Transcribe,
    TurnJudged,
    UserStarted,
    UserStopped,
)
from voicehelper.voice.partials import extend, materially_differs
from voicehelper.voice.phrases import join, kind, words
from voicehelper.voice.state import Utterance

PRE_ROLL_MS = 250
"""Sound before the detected onset that is written down too: detectors miss soft beginnings."""
FIRST_PARTIAL_MS = 450
CLICK_MS = 80
"""Shorter sounds are no speech."""
STALL_MS = 250
"""Sound may lag behind the clock by so much (frames of 200 ms) before silence in it is doubted."""
AWAIT_MS = 15_000
"""A final transcript that has not come by then is lost."""
RETRY_MS = 300
TIMERS = ("confirm", "endpoint", "partial", "longest")


def started(run: Run, event: SpeechStarted) -> None:
    """Speech begins, or goes on after a pause."""
    heard = run.heard_now(max(event.heard, event.sample))
    run.listen(heard)
    run.set(speech=True)
    current = run.state.utterance
    if current is None:
        if event.sample >= _claimed(run):
            _begin(run, event.sample, heard)
    elif current.pause >= 0:
        _go_on(run, current, event.sample, heard)


def _claimed(run: Run) -> int:
    return max([run.state.acked, *(one.end for one in run.state.finishing)])


def _begin(run: Run, sample: int, heard: int) -> Utterance:
    began = run.now - run.lag_ms(sample, heard)
    start = max(_claimed(run), sample - PRE_ROLL_MS * SAMPLES_PER_MS)
    run.set(utterances=run.state.utterances + 1)
    new = Utterance(run.state.utterances, min(start, sample), sample, began)
    run.set(utterance=new)
    if run.state.turn is None or not run.options.automatic:
        new = _tell(run, new)
    else:
        run.timer("confirm", began + run.options.confirm_ms)
    if run.options.partial_ms:
        run.timer("partial", began + FIRST_PARTIAL_MS)
    run.timer("longest", began + run.options.longest_ms)
    return new


def _tell(run: Run, heard: Utterance) -> Utterance:
    if heard.told:
        return heard
    run.tell(UserStarted(heard.number, heard.onset))
    return run.alter(heard, told=True)


def _go_on(run: Run, current: Utterance, sample: int, heard: int) -> None:
    gap = max(sample - current.pause, 0) // SAMPLES_PER_MS
    undecided = not current.covered or kind(current.text) in ("open", "complete")
    if current.told and gap >= 150 and undecided:
        run.set(pace_ms=turn_taking.pace(run.state.pace_ms, gap))
    run.clear("endpoint")
    run.alter(current, breath=current.pause, pause=-1, probability=None, final=False, due=False, stalls=0)
    if current.told:
        run.tell(UserStarted(current.number, sample))
        _hold(run, current)
    else:
        run.timer("confirm", run.now - run.lag_ms(sample, heard) + run.options.confirm_ms)
    if run.options.partial_ms:
        run.timer("partial", run.now + run.options.partial_ms)


def confirm(run: Run) -> None:
    """He speaks over us, and not just for a moment."""
    heard = run.state.utterance
    if heard is not None and heard.pause < 0:
        _hold(run, _tell(run, heard))


def _hold(run: Run, heard: Utterance) -> None:
    if run.options.interruptible and run.options.automatic and not heard.released:
        run.hold()


def stopped(run: Run, event: SpeechStopped) -> None:
    """Silence begins."""
    heard = run.heard_now(max(event.heard, event.sample))
    run.listen(heard)
    run.set(speech=False)
    current = run.state.utterance
    if current is None:
        claimed = _claimed(run)  # speech that went on after it was committed
        if event.sample - claimed < 300 * SAMPLES_PER_MS or not run.options.automatic:
            return
        current = _begin(run, claimed, heard)
    if current.pause >= 0:
        return
    _pause(run, current, max(event.sample, current.onset), heard)


def _pause(run: Run, current: Utterance, sample: int, heard: int) -> None:
    lasted = (sample - current.onset) // SAMPLES_PER_MS
    if not current.told and lasted < run.options.confirm_ms:
        _forget(run, current)
        return
    current = _tell(run, current)
    paused_ms = run.now - run.lag_ms(sample, heard)
    current = run.alter(current, pause=sample, paused_ms=paused_ms, probability=None)
    run.clear("confirm", "partial")
    run.tell(UserStopped(current.number, sample))
    if not run.options.automatic:
        return
    _hold(run, current)
    if lasted < CLICK_MS and not current.text:
        finish(run, run.alter(current, final=True, text_end=sample))
        return
    if run.options.partial_ms:
        current = transcribe(run, current, heard)
    run.emit(JudgeTurn(current.number, current.start, heard))
    consider(run, current)


def _forget(run: Run, current: Utterance) -> None:
    run.clear(*TIMERS)
    run.set(utterance=None)


def transcribe(run: Run, heard: Utterance, end: int) -> Utterance:
    """Ask for the text of all of it."""
    run.emit(Transcribe(heard.number, heard.start, end, True))
    return run.alter(heard, asked_end=end, asked_ms=run.now, partial_ms=-1, final=False)


def partial(run: Run) -> None:
    """Time to write down what he has said so far."""
    heard, every = run.state.utterance, run.options.partial_ms
    if heard is None or heard.pause >= 0 or not every:
        return
    if heard.partial_ms < 0 or run.now - heard.partial_ms >= 4 * every:
        run.emit(Transcribe(heard.number, heard.start, run.state.heard, False))
        run.alter(heard, partial_ms=run.now)
    run.timer("partial", run.now + every)


def recognized(run: Run, event: Recognized) -> None:
    """A transcript."""
    heard = _find(run, event.utterance)
    if heard is None or event.end < heard.text_end or (heard.final and not event.final):
        return
    if not event.final:
        heard = run.alter(heard, partial_ms=-1)
    final = event.final and event.end >= heard.asked_end >= 0 and heard.pause >= 0
    stable, shown = extend(heard.stable, heard.previous, event.text)
    if final:
        shown = event.text
    if heard.told and (shown != heard.text or stable != heard.stable):
        run.tell(Partial(heard.number, shown, len(shown if final else stable), event.language or heard.language))
    heard = run.alter(
        heard, text=shown, text_end=event.end, previous=event.text, stable=stable, final=final,
        language=event.language or heard.language, confidence=event.confidence, failed=0 if final else heard.failed,
    )  # fmt: skip
    if run.state.utterance is None or run.state.utterance.number != heard.number:
        drain(run)
    elif heard.pause >= 0:
        consider(run, heard)
    else:
        _while_speaking(run, heard)
    _prepare(run, event.utterance)


def _find(run: Run, number: int) -> Utterance | None:
    current = run.state.utterance
    known = (*run.state.finishing, *((current,) if current else ()))
    return next((one for one in known if one.number == number), None)


def _while_speaking(run: Run, heard: Utterance) -> None:
    """What he says over us is a turn already by its stable words: the answer need not go on."""
    turn = run.state.turn
    if turn is None or not heard.told or not run.options.automatic or not run.options.interruptible:
        return
    text, found = heard.stable, verdict(run, heard)
    if echoes(run, heard):
        run.alter(heard, released=True)
        run.resume()
        return
    if found in ("empty", "invented", "hum", "affirmation", "filler"):
        return
    if heard.released:
        run.alter(heard, released=False)
        run.hold()
    begun = turn.sounding >= 0 and heard.began_ms > turn.sounding_ms + UNHEARD_MS
    if begun and words(text) >= 4 and found not in ("stop", "wait"):
        run.stop("interrupted")


def judged(run: Run, event: TurnJudged) -> None:
    """How finished it sounds."""
    heard = run.state.utterance
    if heard is not None and heard.number == event.utterance and 0 <= heard.pause <= event.end:
        consider(run, run.alter(heard, probability=event.probability))


def consider(run: Run, heard: Utterance) -> None:
    """He has paused: is he done, or when will he be?"""
    if not run.options.automatic or heard.pause < 0:
        return
    at = heard.paused_ms + _silence(run, heard)
    if run.now < at:
        run.timer("endpoint", at)
    elif heard.covered and heard.final:
        finish(run, heard)
    elif not heard.due:
        run.clear("endpoint")
        if heard.asked_end < heard.pause:
            heard = transcribe(run, heard, max(run.state.heard, heard.pause))
        run.alter(heard, due=True)
        run.timer("final", heard.asked_ms + AWAIT_MS)


def _silence(run: Run, heard: Utterance) -> int:
    found = verdict(run, heard) if heard.covered and heard.final else None
    ours = found == "complete" and yields(run) and kind(heard.text) in ("hum", "affirmation")
    if found == "stop" and run.state.turn is None:
        found = "open"
    return turn_taking.silence_ms(run.options, found, heard.probability, run.state.pace_ms, ours)


def endpoint(run: Run, heard_samples: int) -> None:
    """The silence has lasted, by the clock; if no sound has come meanwhile, it is waited for a moment."""
    heard = run.state.utterance
    if heard is None or heard.pause < 0:
        return
    silent = run.lag_ms(heard.pause, heard_samples)
    if heard_samples and heard.stalls < 3 and silent + STALL_MS < run.now - heard.paused_ms:
        run.alter(heard, stalls=heard.stalls + 1)
        run.timer("endpoint", run.now + STALL_MS)
        return
    consider(run, heard)


def finish(run: Run, heard: Utterance) -> None:
    """It is over."""
    run.clear(*TIMERS)
    run.set(utterance=None, finishing=(*run.state.finishing, heard))
    drain(run)


def drain(run: Run) -> None:
    """Settle what is over and written down, in order."""
    while run.state.finishing and run.state.finishing[0].final:
        head, *rest = run.state.finishing
        run.set(finishing=tuple(rest))
        settle(run, head)
    if not run.state.finishing and not (run.state.utterance and run.state.utterance.due):
        run.clear("final", "retry")


def recognition_failed(run: Run, event: RecognitionFailed) -> None:
    """No transcript."""
    heard = _find(run, event.utterance)
    if heard is None:
        return
    if not event.final:
        run.alter(heard, partial_ms=-1)
    elif heard.retries == 0 and heard.pause >= 0:
        run.alter(heard, retries=1, failed=event.code)
        run.timer("retry", run.now + RETRY_MS)
    elif heard.pause >= 0:
        give_up(run, heard, event.code)


def retry(run: Run) -> None:
    """Ask once more for what failed."""
    for one in (*run.state.finishing, *((run.state.utterance,) if run.state.utterance else ())):
        if one.failed and not one.final and one.pause >= 0:
            transcribe(run, one, max(one.asked_end, one.pause))


def give_up(run: Run, heard: Utterance, code: int) -> None:
    """Do with what partial transcripts gave; with nothing, the utterance is lost."""
    heard = run.alter(heard, failed=code, final=True, text_end=max(heard.text_end, heard.pause))
    if run.state.utterance is not None and run.state.utterance.number == heard.number:
        finish(run, heard)
    else:
        drain(run)


def _prepare(run: Run, number: int) -> None:
    """Run ahead with what will probably be the question, if it is not what was run ahead with."""
    heard = run.state.utterance
    if heard is None or heard.number != number or heard.prepares >= 4 or not run.options.answers:
        return
    text = heard.text if heard.pause >= 0 else heard.stable
    if verdict(run, heard) not in ("complete", "open", "dictating") or words(text) < 3 or echoes(run, heard):
        return
    if 2 * len(text) < len(heard.text) or not materially_differs(heard.prepared, text):
        return
    run.alter(heard, prepared=text, prepares=heard.prepares + 1)
    for before in reversed(run.state.said):
        text = join(before, text)
    if run.state.turn is not None and belongs(run, heard, text):
        text = join(run.state.turn.text, text)
    run.emit(Prepare(run.state.turns + 1, text, heard.language))
