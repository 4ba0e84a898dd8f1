"""The session object of the OpenAI Realtime protocol, as a client sends it: only what it wants changed."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["text", "audio"]

TAGS: Final = frozenset({"audio/pcm", "audio/pcmu", "audio/pcma", "server_vad", "semantic_vad"})
"""Names of alternatives, which pydantic puts into the path of a field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Pcm(_Part):
    """16 bit, little-endian, mono."""

    type: Literal["audio/pcm"]
    rate: Literal[24000] | None = None


class MuLaw(_Part):
    """G.711 μ-law, 8 kHz."""

    type: Literal["audio/pcmu"]


class ALaw(_Part):
    """G.711 A-law, 8 kHz."""

    type: Literal["audio/pcma"]


Format = Annotated[Pcm | MuLaw | ALaw, Field(discriminator="type")]


class ServerVad(_Part):
    """A turn ends after so much silence."""

    type: Literal["server_vad"]
    threshold: float | None = Field(None, ge=0.0, le=1.0)
    prefix_padding_ms: int | None = Field(None, ge=0, le=5000)
    silence_duration_ms: int | None = Field(None, ge=100, le=10_000)
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: int | None = Field(None, ge=5000, le=30_000)


class SemanticVad(_Part):
    """A turn ends where what was said sounds finished."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]
Language = Annotated[str, Field(min_length=2, max_length=12)]


class Transcription(_Part):
    """How what is said is written down. The model is ours, whatever is named."""

    model: str | None = Field(None, max_length=100)
    language: Language | None = None
    languages: list[Language] | None = Field(None, max_length=10)
    keywords: list[Annotated[str, Field(min_length=1, max_length=100)]] | None = Field(None, max_length=100)
    prompt: str | None = Field(None, max_length=2000)
    delay: str | None = None


class Input(_Part):
    """What comes from the client."""

    format: Format | None = None
    noise_reduction: Any = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


class VoiceId(_Part):
    """A voice by id."""

    id: str = Field(min_length=1, max_length=100)


class Output(_Part):
    """What goes to the client."""

    format: Format | None = None
    voice: Annotated[str, Field(min_length=1, max_length=100)] | VoiceId | None = None
    speed: float | None = Field(None, ge=0.25, le=1.5)


class Audio(_Part):
    """Sound in both directions."""

    input: Input | None = None
    output: Output | None = None


class Tool(BaseModel):
    """A tool; only whether there is any matters here."""

    model_config = ConfigDict(extra="allow")

    type: str | None = None
    name: str | None = None


class SessionPatch(_Part):
    """What is to change; a field that is not given stays."""

    type: Literal["realtime"] = "realtime"
    audio: Audio | None = None
    include: list[str] | None = Field(None, max_length=16)
    instructions: str | None = Field(None, max_length=16_000)
    max_output_tokens: int | Literal["inf"] | None = None
    model: str | None = Field(None, max_length=100)
    output_modalities: list[Modality] | None = Field(None, max_length=2)
    parallel_tool_calls: bool | None = None
    prompt: Any = None
    reasoning: Any = None
    tool_choice: Any = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tracing: Any = None
    truncation: Any = None
