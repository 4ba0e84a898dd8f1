"""The words: transcripts asked for and taken, what they mean while he still speaks, and running ahead on them."""

from voicehelper.voice.machine_hearing import consider, drain, finish
from voicehelper.voice.machine_run import Run
from voicehelper.voice.machine_turns import UNHEARD_MS, belongs, echoes, verdict
from voicehelper.voice.model import Partial, Prepare, RecognitionFailed, Recognized, Transcribe
from voicehelper.voice.partials import extend, materially_differs
from voicehelper.voice.phrases import join, words
from voicehelper.voice.state import Utterance

RETRY_MS = 300


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
            run.transcribe(one, max(one.asked_end, one.pause))


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
