"""Conversations, messages, and the events of a streamed answer."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from voicehelper.wire.common import Body, ErrorBody, Line, Question, View, storable

Bases = Annotated[list[Line], Field(max_length=50)]


class ConversationCreate(Body):
    """A new conversation. Without a title, its first question becomes the title."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(storable)] = ""
    knowledge_bases: Bases = Field(
        default_factory=list, description="Ids or names of what may be searched; none: all of the tenant's"
    )


class ConversationView(View):
    """A conversation of the caller."""

    id: UUID
    title: str
    knowledge_bases: list[UUID]
    created_at: datetime
    updated_at: datetime


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


class MessageView(View):
    """A message. `metadata` of an answer: `outcome`, `model`, `usage`, `degraded`, `timings_ms`, or `error`."""

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


class MessageCreate(Body):
    """A question. `knowledge_bases` (ids or names) overrides the conversation's own for this question."""

    content: Question
    knowledge_bases: Bases | None = None
    stream: bool = Field(False, description="Server-sent events, as with `Accept: text/event-stream`")


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
    "error": ErrorBody,
}
"""Every event of a streamed answer by name, in the order in which they come (`status` and `delta` repeat)."""
