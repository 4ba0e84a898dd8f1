"""Bodies of `/v1/chat/completions` and `/v1/completions`, as OpenAI names their fields.

Unknown fields are ignored, as there: clients send what other servers know. What is known and cannot be done is refused.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Stop = str | Annotated[list[str], Field(max_length=16)] | None
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class OpenAIBody(BaseModel):
    """A body or a part of one."""

    model_config = ConfigDict(extra="ignore")


class TextPart(OpenAIBody):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(OpenAIBody):
    """Where a picture is."""

    url: Annotated[str, StringConstraints(min_length=1)] = Field(description="`https:` or `data:`")


class ImagePart(OpenAIBody):
    """A picture, for models that see."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class FunctionCall(OpenAIBody):
    """What a model asked for."""

    name: Name
    arguments: str


class ToolCallPart(OpenAIBody):
    """A tool call of an earlier turn."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(OpenAIBody):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCallPart] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is required")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool's message needs the tool_call_id it answers")
        return self


class Function(OpenAIBody):
    """What a model may ask for."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(OpenAIBody):
    """A tool."""

    type: Literal["function"]
    function: Function


class ChosenFunction(OpenAIBody):
    """A tool by name."""

    name: Name


class NamedToolChoice(OpenAIBody):
    """The one tool that is to be called."""

    type: Literal["function"]
    function: ChosenFunction


class NamedSchema(OpenAIBody):
    """A schema that the output must match."""

    name: Name
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(OpenAIBody):
    """The output's form."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema must be provided")
        return self


class StreamOptions(OpenAIBody):
    """What a stream tells besides."""

    include_usage: bool | None = Field(None, description="A last chunk without choices holds the usage")


class Sampling(OpenAIBody):
    """What chat and text completions share."""

    model: ModelName = Field(description="A model of the catalogue, `auto`, `auto:STRATEGY`, or `kb:NAME`")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    seed: Seed | None = None
    stop: Stop = None
    n: Annotated[int, Field(ge=1, le=1, description="One answer a request")] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0, description="Not supported: only empty")] | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None

    @model_validator(mode="after")
    def _streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is for streams")
        return self


class ChatCompletionCreate(Sampling):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=4000)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None
    functions: Annotated[list[Any], Field(max_length=0, description="Superseded by `tools`")] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        choice = self.tool_choice
        if choice is not None and not self.tools and choice != "none":
            raise ValueError("tool_choice is for requests with tools")
        if isinstance(choice, NamedToolChoice):
            known = {tool.function.name for tool in self.tools or ()}
            if choice.function.name not in known:
                raise ValueError("tool_choice names a function that is not among the tools")
        return self


class CompletionCreate(Sampling):
    """`POST /v1/completions`. The prompt is given to the model as what a user says."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)] = Field(description="One prompt")
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = Field(None, description="Not supported")
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    suffix: Annotated[str, StringConstraints(max_length=0)] | None = Field(None, description="Not supported")
