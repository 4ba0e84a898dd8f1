"""Bodies of `/v1/audio/speech`, as OpenAI names their fields."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from voicehelper.wire.common import Body, Line, View, storable

SpokenText = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(storable)]


class SpeechCreate(Body):
    """A text to be spoken."""

    model: Line = Field(description="`tts-1`, `tts-1-hd`, `gpt-4o-mini-tts` or our model's own name: all are ours")
    input: SpokenText = Field(description="Text or Markdown; it is said as one would read it out")
    voice: Line = Field(description="One of our model's, or of OpenAI's: `alloy`, `nova`, `onyx` ...")
    instructions: str = Field(
        "", max_length=4096, description="`friendly`, `formal` or `apologetic`; anything else has no effect"
    )
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = Field(
        "mp3", description="`pcm` is 16 bit, little-endian, mono, 24 kHz; `aac` cannot be made here"
    )
    speed: float = Field(1.0, ge=0.25, le=4.0, description="Our own model's bounds are 0.5 and 2")
    stream_format: Literal["audio", "sse"] = "audio"


class SpeechDelta(View):
    """The file's next bytes."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str = Field(description="Base64")


class SpeechUsage(View):
    """OpenAI counts tokens; we count characters of the text, and nothing for the sound."""

    input_tokens: int
    output_tokens: int = 0
    total_tokens: int


class SpeechDone(View):
    """The end of the file."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: SpeechUsage
