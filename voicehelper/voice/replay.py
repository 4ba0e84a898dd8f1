"""A recorded session once more: the same events at the same times give the same effects, to the bit."""

from collections.abc import Iterable
from dataclasses import dataclass

from voicehelper.voice.journal import Entry, digest
from voicehelper.voice.machine import step
from voicehelper.voice.model import Effect, TurnOptions
from voicehelper.voice.state import SessionState


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay gave.

    Attributes:
        state: at the end.
        effects: of every step.
        differs: number of the first step whose effects are not those recorded; None if all are.
    """

    state: SessionState
    effects: tuple[tuple[Effect, ...], ...]
    differs: int | None


def replay(entries: Iterable[Entry], start: TurnOptions | SessionState) -> Replayed:
    """Replay from the beginning (its options) or from a state in between."""
    state = SessionState(options=start) if isinstance(start, TurnOptions) else start
    every: list[tuple[Effect, ...]] = []
    differs: int | None = None
    for entry in entries:
        state, effects = step(state, entry.event, entry.now_ms)
        every.append(effects)
        if differs is None and digest(effects) != entry.effects:
            differs = entry.seq
    return Replayed(state, tuple(every), differs)
