"""`/v1/audio/transcriptions`, as OpenAI's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Granularity = Literal["word", "segment"]
ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class TranscriptionForm(BaseModel):
    """The form's fields beside `file`. Fields that OpenAI has and we have not are ignored, as there."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    model: str = Field(max_length=200, description="The configured model's name, or one of OpenAI's for it")
    language: str = Field("", max_length=35, description="ISO 639-1; detected where left out")
    prompt: str = Field("", max_length=2000, description="Names and terms to expect")
    keywords: tuple[Keyword, ...] = Field((), max_length=100, alias="keywords[]")
    response_format: ResponseFormat = "json"
    temperature: float = Field(0.0, ge=0, le=1, description="Accepted; the text is always the likeliest one")
    timestamp_granularities: tuple[Granularity, ...] = Field(
        ("segment",), max_length=2, alias="timestamp_granularities[]", description="For `verbose_json`"
    )
    stream: bool = Field(False, description="Server-sent events: a piece of the text as soon as it is known")


class Usage(BaseModel):
    """Counted by the length of the recording."""

    type: Literal["duration"] = "duration"
    seconds: float


class Transcription(BaseModel):
    """`json`."""

    text: str
    usage: Usage


class SegmentView(BaseModel):
    """A sentence or a part of one."""

    id: int
    start: float
    end: float
    text: str
    temperature: float = 0.0
    avg_logprob: float
    compression_ratio: float


class WordView(BaseModel):
    """A word; in Chinese, a character or a few."""

    word: str
    start: float
    end: float


class VerboseTranscription(Transcription):
    """`verbose_json`. `language` is an ISO 639-1 code."""

    task: Literal["transcribe"] = "transcribe"
    language: str
    duration: float
    segments: list[SegmentView] | None = None
    words: list[WordView] | None = None


class TextDelta(BaseModel):
    """A further piece of the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class TextDone(BaseModel):
    """The whole text; the last event."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    usage: Usage


def form_schema() -> dict[str, Any]:
    """The form as JSON schema, the file included."""
    schema = TranscriptionForm.model_json_schema(by_alias=True)
    schema["properties"]["file"] = {"type": "string", "format": "binary", "description": "wav, mp3, flac, ogg, opus"}
    schema["required"] = ["file", *schema["required"]]
    return schema
