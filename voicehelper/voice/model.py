"""What the session core is told (events) and what it wants done (effects). All plain data, so that a journal of them
replays.

Time is milliseconds on the session's own clock (0 when it began). Positions in what the user says are samples at
`INPUT_RATE`; positions in what is said to him are samples of the session's output, counted over the whole session.
`heard`, in events, is how many input samples had been heard when it happened: with it the core knows how late it learns
of something. The session's runner fills it in (the ear's position); 0 where it is not known.
"""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["listening", "user_speaking", "thinking", "speaking", "interrupted", "waiting", "closed"]
"""`interrupted`: the sound is held while it is decided whether what the user says is a turn. `waiting`: he has begun a
phrase and not ended it, or asked to wait."""

DropReason = Literal["noise", "empty", "backchannel", "wait", "command", "echo", "cleared", "failed"]
"""`command`: he asked for silence, which is obeyed. `echo`: it is what we say ourselves. `failed`: it could not be
written down."""


# -- events: what happened


@dataclass(frozen=True, slots=True)
class Opened:
    """The session begins: its first event. A greeting is said as turn 1."""

    greeting: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The detector hears speech, since `sample` (the onset itself: the core adds the pre-roll)."""

    sample: int
    heard: int = 0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The detector hears silence, since `sample` (where the speech ended, not where that was noticed)."""

    sample: int
    heard: int = 0


@dataclass(frozen=True, slots=True)
class Recognized:
    """Text of the utterance so far; `end` is the sample up to which it was listened to."""

    utterance: int
    text: str
    end: int
    language: str = ""
    final: bool = False
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class RecognitionFailed:
    """It could not be written down (`code` of our error tree)."""

    utterance: int
    code: int
    final: bool


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """The sound up to `end` is that of a finished turn with this probability."""

    utterance: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class AnswerSounding:
    """The first sound of the turn's answer is ready, at output sample `sample`. Fillers do not count."""

    turn: int
    sample: int


@dataclass(frozen=True, slots=True)
class AnswerClause:
    """This is being said: what the microphone hears of it is no turn. Fillers count too. Optional."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerPaused:
    """All sound that is ready ends at output sample `end`; more is to come, but none is there (a tool runs): dead air
    in the middle of an answer is filled. The next `AnswerSounding` of the turn ends the pause."""

    turn: int
    end: int


@dataclass(frozen=True, slots=True)
class AnswerSpoken:
    """All of the answer's sound is ready; it ends at output sample `end`. `asks`: its last sentence is a question, so
    that a bare "yes" is a turn."""

    turn: int
    end: int
    asks: bool = False


@dataclass(frozen=True, slots=True)
class AnswerFailed:
    """No (more) answer comes: the turn is over, and what still sounds is stopped. (To have an apology said, say it as
    the answer instead.)"""

    turn: int
    code: int


@dataclass(frozen=True, slots=True)
class Played:
    """The client has played everything before output sample `sample`. The runner estimates it for a client that does
    not report it: a turn lasts until all of its sound is played."""

    sample: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer of the core's own went off."""

    name: str
    heard: int = 0


@dataclass(frozen=True, slots=True)
class TextTyped:
    """The user typed instead of speaking. Without `answer`, the text waits for `ResponseWanted`."""

    text: str
    answer: bool = True
    spoken: bool = True


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The client says that the utterance has ended (push to talk): everything since the last one, whether or not the
    detector found speech in it."""

    heard: int = 0


@dataclass(frozen=True, slots=True)
class InputCleared:
    """The client takes back what was said since the last turn."""

    heard: int = 0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The client asks for silence."""


@dataclass(frozen=True, slots=True)
class ResponseWanted:
    """The client asks for an answer to what was said (where answers are not begun by themselves)."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The client is gone, perhaps for a moment."""


@dataclass(frozen=True, slots=True)
class ConnectionResumed:
    """The client is back, perhaps on another replica: it has played everything before `played`, and sends what it
    recorded from `input_from` (`needed_from` of the state) on once more; the ear is rewound to there. `ConnectionLost`
    need not have come before (a killed replica). The sound then is held or not as the state's `held` says."""

    played: int
    input_from: int


@dataclass(frozen=True, slots=True)
class Configured:
    """Turn taking was changed in the middle of the session."""

    options: "TurnOptions"


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """The session ends."""

    reason: str


Event = (
    Opened
    | SpeechStarted
    | SpeechStopped
    | Recognized
    | RecognitionFailed
    | TurnJudged
    | AnswerSounding
    | AnswerClause
    | AnswerPaused
    | AnswerSpoken
    | AnswerFailed
    | Played
    | TimerFired
    | TextTyped
    | InputCommitted
    | InputCleared
    | Interrupted
    | ResponseWanted
    | ConnectionLost
    | ConnectionResumed
    | Configured
    | CloseRequested
)


# -- effects: what is to be done


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Write down the utterance, samples `start` to `end`. The result comes as `Recognized` (with this `end`) or
    `RecognitionFailed`. `final` is asked for at every pause, before it is sure that the turn has ended: the later of
    two of an utterance counts, and a partial makes none before it pointless. After a resume, `end` may lie ahead of
    what was heard again: wait for it."""

    utterance: int
    start: int
    end: int
    final: bool


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """Listen whether the turn sounds finished (`TurnJudged`)."""

    utterance: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Run ahead: retrieve, and have the model read, for what will probably be the question. A later one of the turn
    replaces it."""

    turn: int
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the question and say the answer; the turn's number makes it one question however often this is done (it is
    done again after a resume: a running answer goes on). `replaces`: the turn whose text this one holds too; it was
    stopped (`superseded`) before, and nothing of its answer was heard."""

    turn: int
    text: str
    language: str = ""
    spoken: bool = True
    replaces: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    """Say this text, as the turn's answer (`AnswerSounding`, `AnswerSpoken`); no question was asked."""

    turn: int
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Fill the silence with a word or two, if nothing sounds. `count`: the how-manieth of the turn, from 1."""

    turn: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class HoldSound:
    """Stop the sound at once, also that which is only about to begin; it may go on later."""


@dataclass(frozen=True, slots=True)
class ResumeSound:
    """Go on where it was held."""


@dataclass(frozen=True, slots=True)
class StopSound:
    """Stop for good: drop what is buffered anywhere, end the turn's answer, keep of it what was heard. Ends a hold."""

    turn: int
    reason: Literal["interrupted", "asked", "superseded", "failed", "closed"]


@dataclass(frozen=True, slots=True)
class AckInput:
    """Everything said before `sample` is dealt with: the client need not send it again after a resume."""

    sample: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """`TimerFired(name)` at `at_ms`; replaces a timer of the same name."""

    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """It is no longer wanted."""

    name: str


@dataclass(frozen=True, slots=True)
class Tell:
    """A notice for the client."""

    notice: "Notice"


@dataclass(frozen=True, slots=True)
class End:
    """Close the session."""

    reason: str


Effect = (
    Transcribe
    | JudgeTurn
    | Prepare
    | Ask
    | Say
    | Acknowledge
    | HoldSound
    | ResumeSound
    | StopSound
    | AckInput
    | SetTimer
    | ClearTimer
    | Tell
    | End
)


# -- notices: what the client is told by the core


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The session's state."""

    state: State


@dataclass(frozen=True, slots=True)
class UserStarted:
    """The user began to speak at input sample `sample`."""

    utterance: int
    sample: int


@dataclass(frozen=True, slots=True)
class UserStopped:
    """He paused at `sample`; his turn may go on."""

    utterance: int
    sample: int


@dataclass(frozen=True, slots=True)
class Partial:
    """What he has said so far; the first `stable` characters will not change."""

    utterance: int
    text: str
    stable: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class Final:
    """What he said, as a turn. `end`: where his speech ended (input samples); `waited_ms`: from there until it was
    sure. `replaces`: the turn whose words this text begins with (he went on, or corrected himself)."""

    utterance: int
    turn: int
    text: str
    language: str
    start: int
    end: int
    waited_ms: int
    replaces: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """What he said is no turn."""

    utterance: int
    reason: DropReason
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something did not work; the session goes on. `what`: `recognition`, `answer`, `response` (wanted, but nothing was
    said)."""

    what: str
    code: int
    turn: int = 0


Notice = StateChanged | UserStarted | UserStopped | Partial | Final | Dropped | Failure


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """Turn taking. Times in milliseconds.

    Attributes:
        automatic: the end of a turn is found by us; else the client commits it.
        answers: a turn is answered by itself; else the client asks for it.
        interruptible: speech that is a turn stops the sound.
        spoken: answers are said; else they are only written.
        min_silence_ms, max_silence_ms: bounds of the silence that ends a turn.
        unfinished_ms: silence after an unfinished phrase.
        wait_ms: silence after "wait a moment".
        merge_ms: speech that begins so soon after a turn, before anything of its answer is heard, belongs to it.
        confirm_ms: speech for so long holds the sound.
        decide_ms: the sound is held for at most so long for speech that turns out to be none.
        partial_ms: how often a growing utterance is written down; 0 for a recogniser without partials, which is
            asked once per utterance, at its end.
        dead_air_ms: silence after a turn that is filled with a word.
        longest_ms: an utterance is cut there.
        idle_ms: nothing said for so long closes the session; 0 for never.
        resume_ms: how long a lost connection is waited for.
        min_confidence: a text of less is noise.
    """

    automatic: bool = True
    answers: bool = True
    interruptible: bool = True
    spoken: bool = True
    min_silence_ms: int = 300
    max_silence_ms: int = 1000
    unfinished_ms: int = 2000
    wait_ms: int = 8000
    merge_ms: int = 3000
    confirm_ms: int = 120
    decide_ms: int = 1500
    partial_ms: int = 700
    dead_air_ms: int = 1500
    longest_ms: int = 28_000
    idle_ms: int = 300_000
    resume_ms: int = 30_000
    min_confidence: float = 0.2
    languages: tuple[str, ...] = field(default=("zh", "en"))
