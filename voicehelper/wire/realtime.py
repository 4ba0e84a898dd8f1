"""What a client of `/v1/realtime` sends: the client events of the OpenAI Realtime protocol, with its GA names.

Checked strictly: an unknown field or a value of another type is an error that names the field.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from voicehelper.wire.realtime_session import Modality, Output, SessionPatch, Tool

LONGEST_AUDIO: Final = 4 * 1024 * 1024
"""Characters of Base64 in one append: over a minute of 24 kHz PCM."""
LONGEST_TEXT: Final = 4000

ItemId = Annotated[str, Field(min_length=1, max_length=64)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: Annotated[str, Field(max_length=512)] | None = None
    type: str


class SessionUpdate(_Event):
    """Changes what it names of the session's configuration."""

    session: SessionPatch


class BufferAppend(_Event):
    """Sound, Base64, in the session's input format."""

    audio: str = Field(max_length=LONGEST_AUDIO)


class BufferCommit(_Event):
    """What was said is a turn."""


class BufferClear(_Event):
    """What was said is taken back."""


class OutputClear(_Event):
    """Of WebRTC only."""


class Part(BaseModel):
    """A piece of a message."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]
    text: str | None = Field(None, max_length=LONGEST_TEXT)
    audio: str | None = Field(None, max_length=LONGEST_AUDIO)
    transcript: str | None = Field(None, max_length=LONGEST_TEXT)
    image_url: str | None = None
    detail: str | None = None


class Item(BaseModel):
    """An item to put into the conversation. Which kinds we take is for the conversation to say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["message", "function_call", "function_call_output", "mcp_approval_response", "item_reference"]
    id: ItemId | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: list[Part] | None = Field(None, max_length=16)
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class ItemCreate(_Event):
    """Put an item into the conversation."""

    item: Item
    previous_item_id: Annotated[str, Field(max_length=64)] | None = None


class ItemRetrieve(_Event):
    """Show an item."""

    item_id: ItemId


class ItemDelete(_Event):
    """Take an item out."""

    item_id: ItemId


class ItemTruncate(_Event):
    """Of the answer's sound only the first `audio_end_ms` were heard."""

    item_id: ItemId
    content_index: int = Field(ge=0, le=1000)
    audio_end_ms: int = Field(ge=0, le=24 * 3_600_000)


class _ResponseAudio(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    output: Output | None = None


class ResponseParams(BaseModel):
    """How one answer is to be. What we cannot do is refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio: _ResponseAudio | None = None
    conversation: str | None = None
    input: list[dict[str, Any]] | None = Field(None, max_length=128)
    instructions: str | None = Field(None, max_length=LONGEST_TEXT * 4)
    max_output_tokens: int | Literal["inf"] | None = None
    metadata: dict[str, Annotated[str, Field(max_length=512)]] | None = Field(None, max_length=16)
    output_modalities: list[Modality] | None = Field(None, max_length=2)
    parallel_tool_calls: bool | None = None
    prompt: Any = None
    reasoning: Any = None
    tool_choice: Any = None
    tools: list[Tool] | None = Field(None, max_length=128)


class ResponseCreate(_Event):
    """Answer what was said."""

    response: ResponseParams | None = None


class ResponseCancel(_Event):
    """Stop answering."""

    response_id: Annotated[str, Field(max_length=64)] | None = None


ClientEvent = (
    SessionUpdate
    | BufferAppend
    | BufferCommit
    | BufferClear
    | OutputClear
    | ItemCreate
    | ItemRetrieve
    | ItemDelete
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel
)

CLIENT_EVENTS: Final[dict[str, type[ClientEvent]]] = {
    "session.update": SessionUpdate,
    "input_audio_buffer.append": BufferAppend,
    "input_audio_buffer.commit": BufferCommit,
    "input_audio_buffer.clear": BufferClear,
    "output_audio_buffer.clear": OutputClear,
    "conversation.item.create": ItemCreate,
    "conversation.item.retrieve": ItemRetrieve,
    "conversation.item.delete": ItemDelete,
    "conversation.item.truncate": ItemTruncate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}
"""Every client event of the protocol that belongs to a conversation over a WebSocket."""
