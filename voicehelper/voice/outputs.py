"""What a session gives its transport, in order: notices of the core (`model.Notice`), and these."""

from dataclasses import dataclass
from uuid import UUID

from voicehelper.conversations import LiveEvent
from voicehelper.errors import VoiceHelperError
from voicehelper.voice.model import Notice


@dataclass(frozen=True, slots=True)
class Frame:
    """Sound to play at output sample `sample`; at most a second ahead of play.

    Attributes:
        pcm: at the session's `output_rate`.
        generation: counts stops; frames of an earlier generation than the last `SoundStopped` are to be thrown away.
        acknowledgement: a word that fills silence, not the answer.
    """

    sample: int
    pcm: bytes
    generation: int
    acknowledgement: bool = False


@dataclass(frozen=True, slots=True)
class ClauseSaid:
    """What the sound from output sample `start` on says. Comes before the clause's first frame.

    Attributes:
        text: the answer's own characters (`spoken` is how they are said: no digits, no Markdown).
        samples: length, where it is known already.
    """

    turn: int
    start: int
    samples: int | None
    text: str
    spoken: str
    acknowledgement: bool = False


@dataclass(frozen=True, slots=True)
class SoundHeld:
    """Stop playing at once, and keep what is buffered: it may go on. `sample` is where the sound sent so far ends."""

    sample: int


@dataclass(frozen=True, slots=True)
class SoundResumed:
    """Play on."""


@dataclass(frozen=True, slots=True)
class SoundStopped:
    """Drop what is buffered. The next sound begins at `sample`, in `generation`."""

    sample: int
    generation: int
    turn: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answering:
    """An event of the turn's answer: `message.created`, `status`, `delta`, `citation`, `usage`, `message.completed`,
    `message.stopped`, `error`; after a resume all of them once more (the marks say which)."""

    turn: int
    event: LiveEvent


@dataclass(frozen=True, slots=True)
class AnswerSaid:
    """All sound of the turn's answer is sent; it ends at output sample `sample`."""

    turn: int
    sample: int


@dataclass(frozen=True, slots=True)
class AnswerCut:
    """An interrupted answer: `chars` characters of it were heard and are kept."""

    turn: int
    message_id: UUID
    chars: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a turn; None where a stage did not happen.

    Attributes:
        end_of_turn_ms: from the end of his speech until it was sure that the turn is over.
        asr_ms: the final recognition (part of `end_of_turn_ms` or after it).
        retrieval_ms: from the question to the start of the model's answer.
        first_token_ms: from the question to the answer's first character.
        first_sound_ms: from the end of his speech to the answer's first sound. Acknowledgements do not count.
        acknowledged: whether one was said meanwhile.
    """

    turn: int
    end_of_turn_ms: int | None = None
    asr_ms: int | None = None
    retrieval_ms: int | None = None
    first_token_ms: int | None = None
    first_sound_ms: int | None = None
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class InputAcked:
    """Sound before input sample `sample` is dealt with: after a resume it need not be sent again."""

    sample: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """First output of a resumed session: record from input sample `input_from` once more; sound goes on at output
    sample `output_from`."""

    input_from: int
    output_from: int
    generation: int


@dataclass(frozen=True, slots=True)
class ErrorNotice:
    """Something did not work; the session goes on. `turn`: the turn it concerns, if any."""

    error: VoiceHelperError
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """Always last. `code` is the WebSocket close code.

    `reason`: `client`, `idle`, `longest`, `lost`, `restart` (1012: resume elsewhere), `taken` (4409: resumed by another
    connection), `slow` (1013), `error`.
    """

    reason: str
    code: int = 1000


Output = (
    Notice
    | Frame
    | ClauseSaid
    | SoundHeld
    | SoundResumed
    | SoundStopped
    | Answering
    | AnswerSaid
    | AnswerCut
    | Latency
    | InputAcked
    | Resumed
    | ErrorNotice
    | Closed
)
