"""One step of the core in the making: the state so far and the effects; what several parts of the machine do."""

from dataclasses import replace
from typing import Any, Literal

from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.model import (
    AckInput,
    ClearTimer,
    Dropped,
    DropReason,
    Effect,
    End,
    HoldSound,
    Notice,
    ResumeSound,
    SetTimer,
    State,
    StateChanged,
    StopSound,
    Tell,
    Transcribe,
    TurnOptions,
)
from voicehelper.voice.phrases import kind
from voicehelper.voice.state import SessionState, Turn, Utterance

SAMPLES_PER_MS = INPUT_RATE // 1000

StopReason = Literal["interrupted", "asked", "superseded", "failed", "closed"]


class Run:
    """Reads the event's time from `now`; collects in `state` and `effects`."""

    def __init__(self, state: SessionState, now_ms: int) -> None:
        self.now = max(now_ms, state.now_ms)
        self.state = replace(state, now_ms=self.now)
        self.effects: list[Effect] = []

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = replace(self.state, **changes)

    def alter(self, heard: Utterance, **changes: Any) -> Utterance:
        """Change an utterance, the current one or a finishing one."""
        changed = replace(heard, **changes)
        if self.state.utterance is not None and self.state.utterance.number == heard.number:
            self.set(utterance=changed)
        else:
            swap = tuple(changed if one.number == heard.number else one for one in self.state.finishing)
            self.set(finishing=swap)
        return changed

    def alter_turn(self, turn: Turn, **changes: Any) -> Turn:
        """Change the turn that is being answered."""
        changed = replace(turn, **changes)
        self.set(turn=changed)
        return changed

    @property
    def options(self) -> TurnOptions:
        """Turn taking."""
        return self.state.options

    def emit(self, effect: Effect) -> None:
        """Have something done."""
        self.effects.append(effect)

    def tell(self, notice: Notice) -> None:
        """Tell the client."""
        self.emit(Tell(notice))

    def timer(self, name: str, at_ms: int) -> None:
        """Set a timer, not in the past."""
        at_ms = max(at_ms, self.now)
        timers = dict(self.state.timers)
        if timers.get(name) != at_ms:
            self.set(timers=tuple(sorted({**timers, name: at_ms}.items())))
            self.emit(SetTimer(name, at_ms))

    def clear(self, *names: str) -> None:
        """Take timers back."""
        for name in names:
            timers = dict(self.state.timers)
            if timers.pop(name, None) is not None:
                self.set(timers=tuple(timers.items()))
                self.emit(ClearTimer(name))

    def lag_ms(self, sample: int, heard: int) -> int:
        """How long ago the sample was heard."""
        return max(heard - sample, 0) // SAMPLES_PER_MS

    def listen(self, heard: int) -> None:
        """Input was heard up to there."""
        if heard > self.state.heard:
            self.set(heard=heard)

    def heard_now(self, heard: int) -> int:
        """Input heard so far; estimated where the event does not say."""
        return heard or self.state.heard

    def ack(self, sample: int) -> None:
        """Input before the sample is dealt with."""
        if sample > self.state.acked:
            self.set(acked=sample)
            self.emit(AckInput(sample))

    def touch(self) -> None:
        """Somebody said something."""
        self.set(active_ms=self.now)

    # -- sound

    def hold(self) -> None:
        """Hold the sound of the turn, also if it has yet to begin."""
        if self.state.turn is not None and not self.state.held:
            self.set(held=True)
            self.emit(HoldSound())
            self.timer("decide", self.now + self.options.decide_ms)

    def resume(self) -> None:
        """Let the sound go on; while the client is away there is nothing to let."""
        self.clear("decide")
        if self.state.held:
            self.set(held=False)
            if self.state.connected:
                self.emit(ResumeSound())
                self.await_sound()

    def unheard(self) -> bool:
        """Whether nothing of the turn's answer was played."""
        turn = self.state.turn
        return turn is not None and (turn.sounding < 0 or self.state.played <= turn.sounding)

    def stop(self, reason: StopReason) -> None:
        """End the turn that is being answered."""
        self.clear("decide", "dead_air")
        if self.state.turn is not None:
            self.emit(StopSound(self.state.turn.number, reason))
            self.set(turn=None, held=False)

    def await_sound(self) -> None:
        """Fill the silence if nothing sounds for too long from now on."""
        turn, wait = self.state.turn, self.options.dead_air_ms
        if turn is None or not wait or not turn.asks or not turn.spoken or not self.state.connected:
            return
        if turn.acknowledged < 3 and (turn.sounding < 0 or 0 <= turn.paused <= self.state.played):
            self.timer("dead_air", self.now + wait * (1, 3, 6)[turn.acknowledged])

    def hurry(self) -> None:
        """He is impatient: fill the silence now."""
        turn = self.state.turn
        if (
            turn is not None
            and turn.sounding < 0
            and turn.spoken
            and turn.acknowledged < 3
            and self.options.dead_air_ms
        ):
            self.timer("dead_air", self.now)

    # -- utterances

    def drop(self, heard: Utterance, reason: DropReason, text: str = "") -> None:
        """What was said is no turn. Of what the client never heard of it is not told."""
        if heard.told:
            self.tell(Dropped(heard.number, reason, text))

    def transcribe(self, heard: Utterance, end: int) -> Utterance:
        """Ask for the text of all of it."""
        self.emit(Transcribe(heard.number, heard.start, end, True))
        return self.alter(heard, asked_end=end, asked_ms=self.now, partial_ms=-1, final=False)

    def talking(self) -> bool:
        """Whether the user speaks, as far as anybody was told."""
        heard = self.state.utterance
        return heard is not None and heard.told and heard.pause < 0

    def close(self, reason: str) -> None:
        """The end. No effect comes after it."""
        self.stop("closed")
        self.set(
            utterance=None, finishing=(), said=(), pending=(), timers=(), waiting=False, held=False, state="closed"
        )
        self.tell(StateChanged("closed"))
        self.emit(End(reason))


def visible(state: SessionState) -> State:
    """The state as the client is told it."""
    heard, turn = state.utterance, state.turn
    if state.state == "closed":
        return "closed"
    if state.held and turn is not None and turn.sounding >= 0:
        return "waiting" if state.waiting and heard is None else "interrupted"
    sounding = turn is not None and turn.sounding >= 0
    if heard is not None and heard.told and not sounding:
        paused = heard.covered and kind(heard.text) in ("unfinished", "filler", "wait") and state.options.automatic
        return "waiting" if paused else "user_speaking"
    if state.waiting or (state.said and not sounding and turn is None):
        return "waiting"
    if turn is None:
        return "thinking" if state.finishing else "listening"
    return "speaking" if sounding else "thinking"
