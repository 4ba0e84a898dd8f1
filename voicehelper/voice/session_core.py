"""The state machine of one session with its clock, its timers and its journal."""

import asyncio
from collections import deque
from collections.abc import Callable

from voicehelper.voice import model
from voicehelper.voice.journal import Entry, Journal
from voicehelper.voice.machine import step
from voicehelper.voice.state import SessionState


class Core:
    """Events in, effects out, one after the other: an event that an effect gives rise to waits for its turn.

    Args:
        state: to begin with.
        clock_ms: the session's time now.
        seq: the journal's last entry.
        note: takes the journal's entries.
        carry_out: does effects; must not wait.
        heard: samples heard so far.
    """

    def __init__(
        self,
        state: SessionState,
        clock_ms: int,
        seq: int,
        *,
        note: Callable[[Entry], None],
        carry_out: Callable[[model.Effect], None],
        heard: Callable[[], int],
    ) -> None:
        self.state = state
        self._journal = Journal(seq)
        self._note = note
        self._carry_out = carry_out
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time() - clock_ms / 1000
        self._events: deque[model.Event] = deque()
        self._stepping = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.closed = False

    @property
    def now_ms(self) -> int:
        """Milliseconds since the session began, wherever."""
        return int((self._loop.time() - self._zero) * 1000)

    @property
    def seq(self) -> int:
        """Of the last entry."""
        return self._journal.seq

    def feed(self, event: model.Event) -> None:
        """Something happened."""
        if self.closed:
            return
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._events and not self.closed:
                self._step(self._events.popleft())
        finally:
            self._stepping = False

    def timer(self, effect: model.SetTimer | model.ClearTimer) -> None:
        """Set one or take it back."""
        known = self._timers.pop(effect.name, None)
        if known is not None:
            known.cancel()
        if isinstance(effect, model.SetTimer) and not self.closed:
            at = self._zero + effect.at_ms / 1000 + 0.0005  # not before the millisecond it names
            self._timers[effect.name] = self._loop.call_at(at, self._fire, effect.name)

    def close(self) -> None:
        """Nothing happens any more."""
        self.closed = True
        self._events.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _step(self, event: model.Event) -> None:
        now = self.now_ms
        self.state, effects = step(self.state, event, now)
        self._note(self._journal.record(now, event, effects))
        for effect in effects:
            self._carry_out(effect)

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self.feed(model.TimerFired(name, self._heard()))
