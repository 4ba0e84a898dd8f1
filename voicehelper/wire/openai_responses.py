"""Body of `/v1/responses`, as OpenAI names its fields; unknown ones are ignored, as in chat completions."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from voicehelper.wire.openai_chat import Function, ModelName, Name, OpenAIBody


class InputText(OpenAIBody):
    """A piece of text: given (`input_text`), or said by the model before (`output_text`)."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputRefusal(OpenAIBody):
    """What the model said when it refused."""

    type: Literal["refusal"]
    refusal: str


class InputImage(OpenAIBody):
    """A picture, for models that see."""

    type: Literal["input_image"]
    image_url: Annotated[str, StringConstraints(min_length=1)] = Field(description="`https:` or `data:`")


InputPart = Annotated[InputText | InputImage | InputRefusal, Field(discriminator="type")]


class InputMessage(OpenAIBody):
    """A turn of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputPart]


class InputCall(OpenAIBody):
    """A function the model asked for in an earlier turn."""

    type: Literal["function_call"]
    call_id: str
    name: Name
    arguments: str


class InputCallOutput(OpenAIBody):
    """What came of it."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[InputPart]


class InputReasoning(OpenAIBody):
    """Given back by clients; not shown to the model again."""

    type: Literal["reasoning"]


def _kind(item: Any) -> str:
    found = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return found if isinstance(found, str) else "message"


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[InputCall, Tag("function_call")]
    | Annotated[InputCallOutput, Tag("function_call_output")]
    | Annotated[InputReasoning, Tag("reasoning")],
    Discriminator(_kind),
]


class ResponseTool(Function):
    """A function the model may ask for."""

    type: Literal["function"]


class ResponseToolChoice(OpenAIBody):
    """The one function that is to be called."""

    type: Literal["function"]
    name: Name


class TextFormat(OpenAIBody):
    """The output's form."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and (self.schema_ is None or self.name is None):
            raise ValueError("json_schema needs a name and a schema")
        return self


class TextOptions(OpenAIBody):
    """How the text is to be."""

    format: TextFormat | None = None


class ResponseCreate(OpenAIBody):
    """`POST /v1/responses`."""

    model: ModelName = Field(description="A model of the catalogue, `auto`, `auto:STRATEGY`, or `kb:NAME`")
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=4000)]
    instructions: str | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    metadata: dict[str, Any] | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None
    store: bool | None = Field(None, description="Accepted; nothing is stored")
    previous_response_id: None = Field(None, description="Not supported: send the earlier items in `input`")
    conversation: None = Field(None, description="Not supported")
    background: Literal[False] | None = Field(None, description="Not supported")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        choice = self.tool_choice
        if choice is not None and not self.tools and choice not in ("none", "auto"):
            raise ValueError("tool_choice is for requests with tools")
        if isinstance(choice, ResponseToolChoice) and choice.name not in {tool.name for tool in self.tools or ()}:
            raise ValueError("tool_choice names a function that is not among the tools")
        return self
