"""How long each part of a turn took, as the user hears it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from voicehelper.telemetry import metrics
from voicehelper.voice.outputs import Latency

_KEPT_S = 90.0
_KEPT_TURNS = 8


@dataclass(slots=True)
class _Turn:
    facts: Latency
    spoke_at: float | None = None
    """When the end of his speech reached us."""
    asked_at: float | None = None


class Latencies:
    """Times of one session's turns, from what its parts report. Times are of one clock, in seconds.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._arrivals: deque[tuple[int, float]] = deque()
        self._asr: dict[int, float] = {}
        self._turns: dict[int, _Turn] = {}

    def arrived(self, position: int) -> None:
        """Everything before input sample `position` is here."""
        now = self._now()
        self._arrivals.append((position, now))
        while self._arrivals[0][1] < now - _KEPT_S:
            self._arrivals.popleft()

    def recognized(self, end: int, seconds: float) -> None:
        """The final recognition of the utterance up to `end` took so long."""
        self._asr[end] = seconds
        while len(self._asr) > _KEPT_TURNS:
            del self._asr[next(iter(self._asr))]

    def turn(self, turn: int, end: int) -> None:
        """It is sure that a turn is over; his speech ended at input sample `end`."""
        spoke_at = self._arrival(end)
        waited = None if spoke_at is None else _ms(self._now() - spoke_at)
        asr = next((seconds for at, seconds in reversed(self._asr.items()) if at >= end), None)
        facts = Latency(turn, end_of_turn_ms=waited, asr_ms=None if asr is None else _ms(asr))
        self._turns[turn] = _Turn(facts, spoke_at)
        while len(self._turns) > _KEPT_TURNS:
            del self._turns[next(iter(self._turns))]

    def asked(self, turn: int) -> None:
        """The question was put."""
        self._turns.setdefault(turn, _Turn(Latency(turn))).asked_at = self._now()

    def answering(self, turn: int) -> None:
        """Retrieval is over; the model writes."""
        self._mark(turn, "retrieval_ms")

    def first_token(self, turn: int) -> None:
        """The first character is here."""
        self._mark(turn, "first_token_ms")

    def acknowledged(self, turn: int) -> None:
        """Silence was filled."""
        if (known := self._turns.get(turn)) is not None:
            known.facts = replace(known.facts, acknowledged=True)

    def sounding(self, turn: int) -> Latency | None:
        """The answer begins to sound: the turn's figures; None for a turn that nobody asked, or that sounded before."""
        known = self._turns.get(turn)
        if known is None or known.facts.first_sound_ms is not None:
            return None
        since = known.spoke_at if known.spoke_at is not None else known.asked_at
        if since is None:
            return None
        known.facts = replace(known.facts, first_sound_ms=_ms(self._now() - since))
        _account(known.facts)
        return known.facts

    def _mark(self, turn: int, name: str) -> None:
        known = self._turns.get(turn)
        if known is not None and known.asked_at is not None and getattr(known.facts, name) is None:
            took: dict[str, Any] = {name: _ms(self._now() - known.asked_at)}
            known.facts = replace(known.facts, **took)

    def _arrival(self, position: int) -> float | None:
        """When input sample `position` came."""
        found = None
        for reached, at in reversed(self._arrivals):
            if reached < position:
                break
            found = at
        return found


def _account(facts: Latency) -> None:
    for name in ("end_of_turn_ms", "asr_ms", "retrieval_ms", "first_token_ms", "first_sound_ms"):
        value = getattr(facts, name)
        if value is not None:
            metrics.VOICE_SECONDS.labels(name.removesuffix("_ms")).observe(value / 1000)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
