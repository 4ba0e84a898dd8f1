"""What the voice session gives, as events for the client. Pure."""

from collections.abc import Callable
from typing import Any, Final

from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.realtime.answers import Answers
from voicehelper.gateway.realtime.playback import Playback
from voicehelper.gateway.realtime.refusals import ServerEvent, details_of_code, failure_details
from voicehelper.gateway.realtime.speech import UserSpeech
from voicehelper.voice import model, outputs
from voicehelper.voice.outputs import Output

_OVER: Final = frozenset({"listening", "user_speaking", "thinking", "closed"})
"""States in which nothing sounds, nor is held."""


class Teller:
    """Turns outputs into events; those that the protocol has no words for (`Latency`, `InputAcked`) into none."""

    def __init__(self, speech: UserSpeech, answers: Answers, playback: Playback) -> None:
        self._speech, self._answers, self._playback = speech, answers, playback

    def tell(self, output: Output) -> list[ServerEvent]:
        """The events for `output`."""
        teller = self._tellers.get(type(output))
        return [] if teller is None else teller(self, output)

    def not_answered(self, error: VoiceHelperError) -> list[ServerEvent]:
        """The response that was just begun came to nothing."""
        return self._answers.failed(failure_details(error))

    def _state(self, notice: model.StateChanged) -> list[ServerEvent]:
        return self._answers.settle() if notice.state in _OVER else []

    def _started(self, notice: model.UserStarted) -> list[ServerEvent]:
        return self._speech.started(notice)

    def _stopped(self, notice: model.UserStopped) -> list[ServerEvent]:
        self._speech.stopped(notice)
        return []

    def _partial(self, notice: model.Partial) -> list[ServerEvent]:
        return self._speech.partial(notice)

    def _final(self, notice: model.Final) -> list[ServerEvent]:
        committed, events = self._speech.final(notice)
        self._answers.turned(committed)
        return events

    def _dropped(self, notice: model.Dropped) -> list[ServerEvent]:
        return self._speech.dropped(notice)

    def _failure(self, notice: model.Failure) -> list[ServerEvent]:
        details = details_of_code(notice.code)
        if notice.what == "recognition" and (events := self._speech.failed(details)):
            return events
        if notice.what == "response":
            details = {**details, "message": "Nothing was understood that could be answered."}
        return self._answers.failed(details)

    def _frame(self, frame: outputs.Frame) -> list[ServerEvent]:
        return self._answers.frame(frame)

    def _clause(self, output: outputs.ClauseSaid) -> list[ServerEvent]:
        return self._answers.clause(output)

    def _held(self, _: outputs.SoundHeld) -> list[ServerEvent]:
        self._playback.held()
        return []

    def _resumed(self, _: outputs.SoundResumed) -> list[ServerEvent]:
        return self._answers.resumed()

    def _sound_stopped(self, output: outputs.SoundStopped) -> list[ServerEvent]:
        return self._answers.stopped(output)

    def _answering(self, output: outputs.Answering) -> list[ServerEvent]:
        return self._answers.answering(output)

    def _said(self, output: outputs.AnswerSaid) -> list[ServerEvent]:
        return self._answers.said(output)

    def _cut(self, output: outputs.AnswerCut) -> list[ServerEvent]:
        self._answers.cut(output)
        return []

    def _error(self, output: outputs.ErrorNotice) -> list[ServerEvent]:
        error: dict[str, Any] = {**failure_details(output.error), "param": None, "event_id": None}
        return [{"type": "error", "error": error}]

    _tellers: Final[dict[type, Callable[..., list[ServerEvent]]]] = {
        model.StateChanged: _state,
        model.UserStarted: _started,
        model.UserStopped: _stopped,
        model.Partial: _partial,
        model.Final: _final,
        model.Dropped: _dropped,
        model.Failure: _failure,
        outputs.Frame: _frame,
        outputs.ClauseSaid: _clause,
        outputs.SoundHeld: _held,
        outputs.SoundResumed: _resumed,
        outputs.SoundStopped: _sound_stopped,
        outputs.Answering: _answering,
        outputs.AnswerSaid: _said,
        outputs.AnswerCut: _cut,
        outputs.ErrorNotice: _error,
    }
