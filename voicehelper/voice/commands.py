"""What a transport (`/ws/voice`, `/v1/realtime`) asks of a session. Sound goes in by `VoiceSession.audio`."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from voicehelper.voice.model import TurnOptions


@dataclass(frozen=True, slots=True)
class SpeechChoices:
    """How the session listens and speaks.

    Attributes:
        language: ISO 639-1 (`zh`, `en`) of both sides; empty to detect what is said and answer in it.
        voice: of the synthesiser; empty for its default, or one of the language. It stays through the call.
        style: `friendly`, `formal`, `apologetic`, or empty.
        speed: 1.0 is normal.
        hot_words: names and terms to expect.
    """

    language: str = ""
    voice: str = ""
    style: str = ""
    speed: float = 1.0
    hot_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A session to open.

    Attributes:
        conversation_id: to go on in; None begins a new one.
        knowledge_bases: ids or names of what a new conversation may search; none: all.
        speech: how to listen and speak.
        turn: turn taking; None for the settings' defaults.
        greeting: said at once, and not part of the conversation; empty for silence.
    """

    conversation_id: UUID | None = None
    knowledge_bases: tuple[str, ...] = ()
    speech: SpeechChoices = SpeechChoices()
    turn: TurnOptions | None = None
    greeting: str = ""


@dataclass(frozen=True, slots=True)
class TypeText:
    """The user typed. It is a turn like a spoken one: what sounds stops, and the answer is spoken.

    Attributes:
        answer: at once; else it waits for `WantResponse`.
        spoken: the answer is said; else it is only written.
    """

    text: str
    answer: bool = True
    spoken: bool = True


@dataclass(frozen=True, slots=True)
class Commit:
    """The utterance has ended (push to talk)."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget what was said since the last turn."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Be silent: the answer ends, what was heard of it is kept."""


@dataclass(frozen=True, slots=True)
class WantResponse:
    """Answer what was said (where turns are not answered by themselves)."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """The client played the answer only up to here: the rest of it is taken out of the conversation.

    Attributes:
        message_id: the answer.
        heard_ms: of the answer's own sound (acknowledgements not counted).
    """

    message_id: UUID
    heard_ms: int


@dataclass(frozen=True, slots=True)
class PlayedTo:
    """The client has played everything before output sample `sample`. Without these, play in real time is assumed."""

    sample: int


@dataclass(frozen=True, slots=True)
class Configure:
    """Change the session. What is None stays.

    Attributes:
        turn: fields of `TurnOptions` to change.
        speech: fields of `SpeechChoices` to change.
    """

    turn: dict[str, Any] = field(default_factory=dict)
    speech: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Close:
    """The user hangs up."""

    reason: str = "client"


Command = TypeText | Commit | Clear | Interrupt | WantResponse | Truncate | PlayedTo | Configure | Close
