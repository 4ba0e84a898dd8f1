"""The state of a session's core: plain data, which serialises (`journal.py`), so that any replica can go on with it."""

from dataclasses import dataclass

from voicehelper.voice.model import State, TurnOptions


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something the user says.

    Attributes:
        start, onset: where its sound begins (with pre-roll), and where the speech does (input samples).
        began_ms: when he began.
        told: the client knows of it (while we speak: only once it has lasted `confirm_ms`).
        pause, paused_ms: where he fell silent, and when; -1 while he speaks.
        breath: where he fell silent last, if he went on; 0 if he did not.
        text, text_end, language, confidence: the last transcript, and how far it listened.
        previous, stable: the hypothesis before it, and what is agreed.
        probability: that it sounds finished; None if not known of this pause.
        asked_end, asked_ms: how far a final transcript was asked for, and when; -1 if not.
        partial_ms: since when a partial transcript is awaited; -1 if none.
        final: a final transcript of all of it is there.
        due: it is over, and only its text is awaited.
        committed: the client ended it. `segment`: it was cut for its length, the turn goes on.
        retries: how often the final transcript was asked for again. `failed`: the code of its failure.
        stalls: how often its end was put off because no sound came.
        prepared: the question that was run ahead with.
        released: it was taken for noise, and the sound went on.
    """

    number: int
    start: int
    onset: int
    began_ms: int
    told: bool = False
    pause: int = -1
    paused_ms: int = 0
    breath: int = 0
    text: str = ""
    text_end: int = -1
    language: str = ""
    confidence: float = 1.0
    previous: str = ""
    stable: str = ""
    probability: float | None = None
    asked_end: int = -1
    asked_ms: int = -1
    partial_ms: int = -1
    final: bool = False
    due: bool = False
    committed: bool = False
    segment: bool = False
    retries: int = 0
    failed: int = 0
    stalls: int = 0
    prepared: str = ""
    prepares: int = 0
    released: bool = False

    @property
    def end(self) -> int:
        """Where it ends, as far as that is known."""
        return self.pause if self.pause >= 0 else max(self.asked_end, self.onset)

    @property
    def covered(self) -> bool:
        """Whether the text is that of all he said before he paused."""
        return self.pause >= 0 and self.text_end >= self.pause


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of ours, from the question on until its answer has been played.

    Attributes:
        asks: False for a greeting: there is no question.
        ended_ms: when the user had fallen silent.
        sounding, sounding_ms: where the answer's sound begins (output samples), and when it was ready; -1 before.
        paused: where the sound that is ready ends, while more is awaited; -1 otherwise.
        end: where it all ends; -1 while not known.
        question: the answer ends with a question.
        acknowledged: how often the silence was filled.
    """

    number: int
    text: str
    language: str
    asked_ms: int
    spoken: bool = True
    asks: bool = True
    replaces: int = 0
    ended_ms: int = 0
    sounding: int = -1
    sounding_ms: int = -1
    paused: int = -1
    end: int = -1
    question: bool = False
    acknowledged: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """A turn of the user's that is not yet answered: nobody asked for that, or we must not be interrupted."""

    turn: int
    text: str
    language: str
    spoken: bool = True


@dataclass(frozen=True, slots=True)
class SessionState:
    """Everything the core remembers.

    Attributes:
        utterances, turns: numbers given so far.
        utterance: being heard. `finishing`: those before it that are over and await their text, oldest first.
        said, said_start, said_language: what of a turn was already written down (it was cut for its length, or he asked
            to wait).
        waiting: he asked to wait.
        turn: being answered. `pending`: not yet answered. `wanted`: the next turn is to be answered.
        held: the sound is held.
        speech: the detector hears speech.
        again: where what he was saying began when the client was lost; -1 if nothing.
        acked: input before it is dealt with. `heard`: input so far. `played`: output so far.
        pace_ms: his usual pause within a turn.
        echo: what we said lately.
        question_ms: when an answer ended with a question; -1 if it did not.
        active_ms: when something was last said by anybody.
        timers: those set, by name.
    """

    options: TurnOptions = TurnOptions()
    state: State = "listening"
    now_ms: int = 0
    utterances: int = 0
    turns: int = 0
    utterance: Utterance | None = None
    finishing: tuple[Utterance, ...] = ()
    said: tuple[str, ...] = ()
    said_start: int = -1
    said_language: str = ""
    waiting: bool = False
    turn: Turn | None = None
    pending: tuple[Pending, ...] = ()
    wanted: bool = False
    held: bool = False
    speech: bool = False
    again: int = -1
    acked: int = 0
    heard: int = 0
    played: int = 0
    pace_ms: int = 0
    echo: str = ""
    question_ms: int = -1
    active_ms: int = 0
    connected: bool = True
    timers: tuple[tuple[str, int], ...] = ()


def needed_from(state: SessionState) -> int | None:
    """The first input sample that must be heard again if the session goes on elsewhere; None if all that was heard is
    dealt with (what comes before the last half second is then not needed)."""
    starts = [heard.start for heard in (*state.finishing, *((state.utterance,) if state.utterance else ()))]
    return min((*starts, *((state.again,) if state.again >= 0 else ())), default=None)
