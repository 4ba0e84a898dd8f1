"""How long a turn took, from what the core saw: no clock of its own, so that a journal gives the same figures."""

from dataclasses import dataclass, replace

from voicehelper.voice.model import (
    Acknowledge,
    AnswerSounding,
    Ask,
    Effect,
    Event,
    Final,
    Recognized,
    Tell,
    Transcribe,
)


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """Milliseconds of a turn; None where a stage did not happen.

    Attributes:
        asked_ms: when the question was put, on the session's clock.
        ended_ms: when his speech ended; for a typed question, when it was put.
        end_of_turn_ms: from the end of his speech until it was sure that the turn is over.
        asr_ms: how long the transcript took that became the question.
        first_sound_ms: from the end of his speech to the answer's first sound; acknowledgements do not count.
        acknowledged: the silence was filled meanwhile.
    """

    turn: int
    asked_ms: int
    ended_ms: int
    end_of_turn_ms: int | None = None
    asr_ms: int | None = None
    first_sound_ms: int | None = None
    acknowledged: bool = False


class Stopwatch:
    """Follows the steps of a session. Of a session that goes on elsewhere, the turn under way is not measured."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[int, int]] = {}  # utterance -> end and time of its last final request
        self._took: dict[int, int] = {}
        self._final: Final | None = None
        self.turn: TurnTimes | None = None

    def observe(self, now_ms: int, event: Event, effects: tuple[Effect, ...]) -> TurnTimes | None:
        """After each step. Gives a turn's figures when its answer begins to sound."""
        if isinstance(event, Recognized) and event.final:
            end, asked_ms = self._asked.get(event.utterance, (-1, now_ms))
            if event.end >= end:
                self._took[event.utterance] = now_ms - asked_ms
        for effect in effects:
            self._note(now_ms, effect)
        return self._sounded(now_ms, event)

    def _note(self, now_ms: int, effect: Effect) -> None:
        if isinstance(effect, Transcribe) and effect.final:
            self._asked[effect.utterance] = (effect.end, now_ms)
        elif isinstance(effect, Tell) and isinstance(effect.notice, Final):
            self._final = effect.notice
        elif isinstance(effect, Ask) and (self.turn is None or self.turn.turn != effect.turn):
            self._begin(now_ms, effect.turn)
        elif isinstance(effect, Acknowledge) and self.turn is not None and self.turn.turn == effect.turn:
            self.turn = replace(self.turn, acknowledged=True)

    def _begin(self, now_ms: int, turn: int) -> None:
        said = self._final
        if said is None or said.turn != turn:
            self.turn = TurnTimes(turn, now_ms, now_ms)
            return
        took = self._took.get(said.utterance)
        self.turn = TurnTimes(turn, now_ms, now_ms - said.waited_ms, said.waited_ms, took)
        self._asked.clear()
        self._took.clear()

    def _sounded(self, now_ms: int, event: Event) -> TurnTimes | None:
        turn = self.turn
        if not isinstance(event, AnswerSounding) or turn is None or turn.turn != event.turn:
            return None
        if turn.first_sound_ms is not None:
            return None
        self.turn = replace(turn, first_sound_ms=now_ms - turn.ended_ms)
        return self.turn
