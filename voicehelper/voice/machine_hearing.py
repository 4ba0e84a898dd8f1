"""Hearing: where an utterance begins and pauses, and when it is over."""

from voicehelper.voice import turn_taking
from voicehelper.voice.machine_run import SAMPLES_PER_MS, Run
from voicehelper.voice.machine_turns import settle, verdict, yields
from voicehelper.voice.model import (
    JudgeTurn,
    SpeechStarted,
    SpeechStopped,
    TurnJudged,
    UserStarted,
    UserStopped,
)
from voicehelper.voice.phrases import kind
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
TIMERS = ("confirm", "endpoint", "partial", "longest")


def started(run: Run, event: SpeechStarted) -> None:
    """Speech begins, or goes on after a pause."""
    heard = run.heard_now(max(event.heard, event.sample))
    run.listen(heard)
    run.set(speech=True)
    current = run.state.utterance
    if current is None:
        if event.sample >= _claimed(run):
            begin(run, event.sample, heard)
    elif current.pause >= 0:
        _go_on(run, current, event.sample, heard)


def _claimed(run: Run) -> int:
    return max([run.state.acked, *(one.end for one in run.state.finishing)])


def begin(run: Run, sample: int, heard: int) -> Utterance:
    """He begins to speak."""
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
        current = begin(run, claimed, heard)
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
        current = run.transcribe(current, heard)
    run.emit(JudgeTurn(current.number, current.start, heard))
    consider(run, current)


def _forget(run: Run, current: Utterance) -> None:
    run.clear(*TIMERS)
    run.set(utterance=None)


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
            heard = run.transcribe(heard, max(run.state.heard, heard.pause))
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
