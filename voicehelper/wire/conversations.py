"""Conversations, messages, and the events of a streamed answer."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, StringConstraints

from voicehelper.wire.common import Body, ErrorBody, Line, Paragraph, Question, View, storable

Bases = Annotated[list[Line], Field(max_length=50)]
Version = Annotated[
    int, Field(strict=True, ge=1, le=2**31 - 1, description="The version last seen; 409 when there is a newer one")
]
MediaType = Annotated[str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$")]
Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[!-~]+$")]


class ConversationCreate(Body):
    """A new conversation. Without a title, its first question becomes the title."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(storable)] = ""
    knowledge_bases: Bases = Field(
        default_factory=list, description="Ids or names of what may be searched; none: all of the tenant's"
    )


class ConversationChange(Body):
    """What is to become of a conversation; what is left out or null stays as it is."""

    version: Version
    title: Line | None = None
    archived: StrictBool | None = None


class ConversationView(View):
    """A conversation."""

    id: UUID
    title: str
    knowledge_bases: list[UUID]
    archived: bool = Field(description="Out of the way: listed only when asked for; can still be asked in")
    version: int = Field(description="Counts changes of `title` and `archived`; a change names the one it saw")
    created_at: datetime
    updated_at: datetime = Field(description="When it was last asked in")


class ReviewedConversation(ConversationView):
    """A conversation of somebody in the tenant."""

    user_id: UUID


class CitationView(View):
    """Which part of the answer (`start` to `end`, characters) rests on which passage."""

    index: int
    start: int
    end: int
    chunk_id: UUID
    document_id: UUID
    document_name: str
    page: int | None = None
    heading: list[str] = Field(default_factory=list)
    quote: str
    score: float


class AttachmentBody(Body):
    """What comes with a question: a description. The file itself stays where the asker has it."""

    name: Line
    content_type: MediaType
    size_bytes: Annotated[int, Field(strict=True, ge=0, le=2**53)]
    url: Url | None = None


class AttachmentView(View):
    """As it was sent."""

    name: str
    content_type: str
    size_bytes: int
    url: str | None = None


class AlternativeView(View):
    """What an answer said before it was written anew, and how that was judged."""

    content: str
    status: Literal["completed", "failed", "stopped"]
    completed_at: datetime | None = None
    rating: Literal["up", "down"] | None = None
    comment: str | None = None


class MessageView(View):
    """A message. `metadata` of an answer: `outcome`, `model`, `usage`, `degraded`, `timings_ms`, or `error`; of a
    spoken one that was interrupted also `heard`: how many characters were heard (`chars`, all that is kept) of how many
    (`of`); `remembered` where the question was answered before."""

    id: UUID
    conversation_id: UUID
    seq: int = Field(description="Place in the conversation, from 1")
    role: Literal["user", "assistant"]
    status: Literal["streaming", "completed", "failed", "stopped"]
    content: str
    citations: list[CitationView] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime
    completed_at: datetime | None = None
    attachments: list[AttachmentView] = Field(default_factory=list, description="Of a question")
    rating: Literal["up", "down"] | None = Field(None, description="The owner's feedback, in lists of messages")
    alternatives: list[AlternativeView] = Field(
        default_factory=list, description="Earlier texts of an answer that was regenerated, in lists of messages"
    )


class ConversationExport(View):
    """A whole conversation."""

    conversation: ConversationView
    messages: list[MessageView]


class FeedbackBody(Body):
    """Whether an answer helped, and why (not)."""

    rating: Literal["up", "down"]
    comment: Paragraph = ""


class FeedbackView(View):
    """The caller's judgement of an answer."""

    message_id: UUID
    rating: Literal["up", "down"]
    comment: str
    created_at: datetime
    updated_at: datetime


class MessageCreate(Body):
    """A question. `knowledge_bases` (ids or names) overrides the conversation's own for this question."""

    content: Question
    knowledge_bases: Bases | None = None
    attachments: Annotated[list[AttachmentBody], Field(max_length=10)] = Field(
        default_factory=list, description="Stored with the question; the answerer does not read them"
    )
    stream: bool = Field(False, description="Server-sent events, as with `Accept: text/event-stream`")
    keep_running: bool = Field(False, description="Write the answer to its end even when nobody reads it")


class Regenerate(Body):
    """How to answer anew."""

    stream: bool = Field(False, description="Server-sent events, as with `Accept: text/event-stream`")
    keep_running: bool = Field(False, description="Write the answer to its end even when nobody reads it")


class TurnView(View):
    """A question with its whole answer."""

    question: MessageView
    answer: MessageView


class StatusEvent(View):
    """What the system is doing: `rewriting`, `searching`, `answering`."""

    stage: str


class DeltaEvent(View):
    """A piece of the answer's text."""

    text: str


class UsageEvent(View):
    """Tokens of the answer."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class CompletedEvent(View):
    """The answer as it was stored."""

    message: MessageView


EVENTS: dict[str, type[View]] = {
    "message.created": TurnView,
    "status": StatusEvent,
    "delta": DeltaEvent,
    "citation": CitationView,
    "usage": UsageEvent,
    "message.completed": CompletedEvent,
    "message.stopped": CompletedEvent,
    "error": ErrorBody,
}
"""Every event of a streamed answer by name, in the order in which they come (`status` and `delta` repeat)."""
