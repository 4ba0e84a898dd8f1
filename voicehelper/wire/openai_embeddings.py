"""Body of `/v1/embeddings`, as OpenAI names its fields."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicehelper.wire.openai_chat import ModelName, OpenAIBody

EmbeddedText = Annotated[str, StringConstraints(min_length=1)]


class EmbeddingCreate(OpenAIBody):
    """`POST /v1/embeddings`."""

    model: ModelName
    input: EmbeddedText | Annotated[list[EmbeddedText], Field(min_length=1, max_length=2048)] = Field(
        description="One text or several; lists of tokens are not taken, since each model counts its own"
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    input_type: Literal["query", "passage"] = Field(
        "passage", description="Ours: models that tell questions from texts embed them differently"
    )
    user: Annotated[str, StringConstraints(max_length=512)] | None = None
