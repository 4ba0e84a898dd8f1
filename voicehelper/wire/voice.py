"""The JSON of `/ws/voice`: what clients send, what they get. Sound goes beside it as binary frames (`SOUND_HEADER`)."""

import struct
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from voicehelper.wire.common import Body, ErrorBody, Line, Question, View, storable
from voicehelper.wire.conversations import CitationView, MessageView

SOUND_HEADER = struct.Struct("<BBHQ")
"""Before the sound in each of the server's binary frames: kind (always 1), flags, generation (modulo 65536), first
output sample. 12 bytes, little-endian."""

SOUND_KIND = 1
ACKNOWLEDGEMENT = 1
"""Flag: a word that fills silence."""
OPUS = 2
"""Flag: one Opus packet; else PCM, signed 16 bit, little-endian, mono."""

Language = Literal["", "zh", "en"]
Sample = Annotated[int, Field(ge=0, le=2**53)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Name = Annotated[str, StringConstraints(max_length=100), AfterValidator(storable)]
Style = Literal["", "friendly", "formal", "apologetic"]
Speed = Annotated[float, Field(ge=0.5, le=2.0)]
HotWords = Annotated[list[Line], Field(max_length=100)]


# -- from the client


class InputFormat(Body):
    """What the client's binary frames are. Opus: one packet a frame, whatever `sample_rate` says."""

    encoding: Literal["pcm16", "opus"] = "pcm16"
    sample_rate: Literal[8000, 16000, 24000, 44100, 48000] = 16000


class OutputFormat(Body):
    """What ours are to be. Opus: one packet of 20 ms a frame."""

    encoding: Literal["pcm16", "opus"] = "opus"


class TurnDetection(Body):
    """Turn taking; what is left out stays as it is (at first: the server's defaults). Times in milliseconds."""

    automatic: bool | None = Field(None, description="We find the end of a turn; else the client sends input.commit")
    answers: bool | None = Field(None, description="Turns are answered by themselves")
    interruptible: bool | None = Field(None, description="Speech that is a turn stops the sound")
    min_silence_ms: Annotated[int, Field(ge=100, le=3000)] | None = None
    max_silence_ms: Annotated[int, Field(ge=200, le=5000)] | None = None
    unfinished_ms: Annotated[int, Field(ge=200, le=10_000)] | None = Field(None, description="After half a sentence")
    dead_air_ms: Annotated[int, Field(ge=0, le=30_000)] | None = Field(
        None, description="Silence before the answer that is filled with a word; 0 for never"
    )
    idle_ms: Annotated[int, Field(ge=0, le=3_600_000)] | None = Field(
        None, description="Nothing said for so long ends the session (the server has a limit of its own)"
    )


class SpeechFields(Body):
    """How the session listens and speaks."""

    language: Language | None = Field(None, description="Of both sides; empty: detected")
    voice: Name | None = None
    style: Style | None = None
    speed: Speed | None = None
    hot_words: HotWords | None = Field(None, description="Names and terms to expect")
    turn_detection: TurnDetection | None = None


class SessionStart(SpeechFields):
    """First message of a new session. Without it, one with all defaults begins at the first frame of sound."""

    type: Literal["session.start"]
    conversation_id: UUID | None = Field(None, description="To go on in; left out: a new one")
    knowledge_bases: Annotated[list[Line], Field(max_length=50)] = Field(default_factory=list)
    input: InputFormat = InputFormat()
    output: OutputFormat = OutputFormat()
    greeting: Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)] = ""


class SessionResume(Body):
    """First message of a connection that takes up a session."""

    type: Literal["session.resume"]
    resume_token: Token
    played: Sample = Field(description="Everything before this output sample was played")
    input: InputFormat = InputFormat()
    output: OutputFormat = OutputFormat()


class SessionUpdate(SpeechFields):
    """Change a running session."""

    type: Literal["session.update"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = Field(
        None, description="A fresh access token of the same user, before the old one expires"
    )


class Played(Body):
    """Everything before output sample `sample` was played; about five times a second, best also at once after
    `audio.hold` and `audio.stop`."""

    type: Literal["played"]
    sample: Sample


class InputCommit(Body):
    """The utterance has ended (push to talk)."""

    type: Literal["input.commit"]


class InputClear(Body):
    """Forget what was said since the last turn."""

    type: Literal["input.clear"]


class ResponseCreate(Body):
    """Answer what was said (with `turn_detection.answers` off)."""

    type: Literal["response.create"]


class TypedText(Body):
    """A question by keyboard in the middle of a call; its answer is spoken."""

    type: Literal["text"]
    text: Question


class Interrupt(Body):
    """Be silent."""

    type: Literal["interrupt"]


class SessionClose(Body):
    """Hang up."""

    type: Literal["session.close"]


class Ping(Body):
    """Is anybody there? Answered with `pong` and the same `id`."""

    type: Literal["ping"]
    id: Annotated[str, StringConstraints(max_length=100)] = ""


ClientMessage = Annotated[
    SessionStart
    | SessionResume
    | SessionUpdate
    | Played
    | InputCommit
    | InputClear
    | ResponseCreate
    | TypedText
    | Interrupt
    | SessionClose
    | Ping,
    Field(discriminator="type"),
]
CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


# -- from the server


class AudioView(View):
    """A format of sound."""

    encoding: Literal["pcm16", "opus"]
    sample_rate: int


class TurnDetectionView(View):
    """As it is now."""

    automatic: bool
    answers: bool
    interruptible: bool
    min_silence_ms: int
    max_silence_ms: int
    unfinished_ms: int
    dead_air_ms: int
    idle_ms: int


class SessionFacts(View):
    """What both sides know of the session."""

    session_id: UUID
    conversation_id: UUID
    resume_token: str = Field(description="A secret; good for one session of this user's, on any replica")
    resume_s: float = Field(description="For so long after a lost connection")
    input: AudioView
    output: AudioView
    language: str
    voice: str
    style: str
    speed: float
    turn_detection: TurnDetectionView


class SessionCreated(SessionFacts):
    """The session is there."""

    type: Literal["session.created"] = "session.created"


class SessionResumed(SessionFacts):
    """It goes on: send what was recorded from input sample `input_from` on once more, throw away all sound that was not
    played; it comes again from output sample `output_from` on, in `generation`."""

    type: Literal["session.resumed"] = "session.resumed"
    input_from: int
    output_from: int
    generation: int


class SessionUpdated(SessionFacts):
    """After `session.update`."""

    type: Literal["session.updated"] = "session.updated"


class StateView(View):
    """Whose turn it is."""

    type: Literal["state"] = "state"
    state: Literal["listening", "user_speaking", "thinking", "speaking", "interrupted", "waiting", "closed"]


class SpeechStartedView(View):
    """The user began to speak at input sample `sample`."""

    type: Literal["speech.started"] = "speech.started"
    utterance: int
    sample: int


class SpeechStoppedView(View):
    """He paused; his turn may go on."""

    type: Literal["speech.stopped"] = "speech.stopped"
    utterance: int
    sample: int


class PartialView(View):
    """What he has said so far; the first `stable` characters stay."""

    type: Literal["transcript.partial"] = "transcript.partial"
    utterance: int
    text: str
    stable: int
    language: str


class FinalView(View):
    """A turn. The same `turn` again after a resume is the same turn."""

    type: Literal["transcript.final"] = "transcript.final"
    utterance: int
    turn: int
    text: str
    language: str
    start: int
    end: int
    waited_ms: int = Field(description="From the end of his speech until it was sure")
    replaces: int = Field(0, description="The turn whose words this text begins with; 0 for none")


class DroppedView(View):
    """What he said is no turn."""

    type: Literal["turn.dropped"] = "turn.dropped"
    utterance: int
    reason: Literal["noise", "empty", "backchannel", "wait", "command", "echo", "cleared", "failed"]
    text: str


class AnswerStarted(View):
    """Question and answer are stored as messages of the conversation."""

    type: Literal["answer.started"] = "answer.started"
    turn: int
    id: str = Field(description="Of the event within the answer; after a resume events come again with the same ids")
    message_id: UUID
    question: MessageView
    answer: MessageView


class AnswerStatusView(View):
    """What the system is doing: `rewriting`, `searching`, `answering`."""

    type: Literal["answer.status"] = "answer.status"
    turn: int
    id: str
    message_id: UUID
    stage: str


class AnswerDeltaView(View):
    """A piece of the answer's text."""

    type: Literal["answer.delta"] = "answer.delta"
    turn: int
    id: str
    message_id: UUID
    text: str


class AnswerCitationView(View):
    """Evidence."""

    type: Literal["answer.citation"] = "answer.citation"
    turn: int
    id: str
    message_id: UUID
    citation: CitationView


class AnswerCompleted(View):
    """The answer's text is complete, or it was stopped (`message.status`). Its sound may go on."""

    type: Literal["answer.completed"] = "answer.completed"
    turn: int
    id: str
    message_id: UUID
    message: MessageView


class AnswerCutView(View):
    """It was interrupted: the conversation keeps its first `chars` characters."""

    type: Literal["answer.cut"] = "answer.cut"
    turn: int
    message_id: UUID
    chars: int


class AnswerSaidView(View):
    """All sound of the answer is sent; it ends at output sample `sample`."""

    type: Literal["answer.said"] = "answer.said"
    turn: int
    sample: int


class ClauseView(View):
    """What the sound from output sample `start` on says. Comes before it."""

    type: Literal["audio.clause"] = "audio.clause"
    turn: int
    start: int
    samples: int | None
    text: str = Field(description="The answer's own characters")
    spoken: str = Field(description="How they are said")
    acknowledgement: bool


class HoldView(View):
    """Pause at once, keep what is buffered."""

    type: Literal["audio.hold"] = "audio.hold"
    sample: int


class ResumeView(View):
    """Play on."""

    type: Literal["audio.resume"] = "audio.resume"


class StopView(View):
    """Drop what is buffered. The next sound begins at output sample `sample`, in `generation`."""

    type: Literal["audio.stop"] = "audio.stop"
    sample: int
    generation: int
    turn: int
    reason: str


class LatencyView(View):
    """Milliseconds of a turn; null where a stage did not happen. An acknowledgement is not the first sound."""

    type: Literal["latency"] = "latency"
    turn: int
    end_of_turn_ms: int | None
    asr_ms: int | None
    retrieval_ms: int | None
    first_token_ms: int | None
    first_sound_ms: int | None
    acknowledged: bool


class InputAck(View):
    """Sound before input sample `sample` need not be kept for a resume."""

    type: Literal["input.ack"] = "input.ack"
    sample: int


class ErrorView(ErrorBody):
    """Something did not work; the session goes on. `turn`: the turn it concerns."""

    type: Literal["error"] = "error"
    turn: int | None = None


class SessionClosed(View):
    """Last message."""

    type: Literal["session.closed"] = "session.closed"
    reason: str
    resumable: bool = Field(description="Connect again and send session.resume")


class Pong(View):
    """Answers `ping`."""

    type: Literal["pong"] = "pong"
    id: str = ""
