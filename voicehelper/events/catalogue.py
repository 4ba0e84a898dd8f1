"""Every event the platform publishes. `docs/events.md` is generated from here (`tools/event_catalogue.py`).

A transaction that changes something adds its event with `stores.postgres.outbox.add_event(conn, tenant_id, fact)`.
"""

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

from pydantic import Field

from voicehelper.events.fact import Fact, UnreadableEvent, read_fact
from voicehelper.ports.events import Event


class KnowledgeBaseCreated(Fact):
    """A knowledge base was created."""

    type = "knowledge_base.created"
    kb_id: UUID


class KnowledgeBaseDeleted(Fact):
    """A knowledge base was deleted; `document.deleted` for each of its documents came before."""

    type = "knowledge_base.deleted"
    kb_id: UUID


class _OfDocument(Fact):
    document_id: UUID
    kb_id: UUID


class _OfVersion(_OfDocument):
    version_id: UUID = Field(description="Of the uploaded content")


class DocumentUploaded(_OfVersion):
    """New content of a document was accepted and waits to be indexed."""

    type = "document.uploaded"


class DocumentIndexed(_OfVersion):
    """The content can be searched."""

    type = "document.indexed"
    chunk_count: int = Field(ge=0, description="Passages")
    elapsed_s: float = Field(ge=0, description="Seconds since the upload")


class DocumentFailed(_OfVersion):
    """The content cannot be indexed; an older version stays searchable."""

    type = "document.failed"
    reason: str = Field(description="A stable word, as in the document's status")


class DocumentDeleted(_OfDocument):
    """A document was deleted with all its versions."""

    type = "document.deleted"


class _OfConversation(Fact):
    order = "user"
    conversation_id: UUID
    user_id: UUID = Field(description="Whose conversation; a visitor is a user as well")


class ConversationCreated(_OfConversation):
    """A conversation was begun."""

    type = "conversation.created"


class ConversationUpdated(_OfConversation):
    """A conversation was renamed, archived or taken back from the archive."""

    type = "conversation.updated"
    changed: tuple[Literal["title", "archived"], ...]
    conversation_version: int


class ConversationDeleted(_OfConversation):
    """A conversation was deleted with its messages."""

    type = "conversation.deleted"


class ConversationMessageSent(_OfConversation):
    """A question was stored and is about to be answered."""

    type = "conversation.message_sent"
    message_id: UUID = Field(description="The question")
    answer_id: UUID = Field(description="The answer to come")
    seq: int = Field(ge=1, description="Place of the question in the conversation")


class _OfAnswer(_OfConversation):
    message_id: UUID = Field(description="The question")
    answer_id: UUID
    seq: int = Field(ge=1, description="Place of the answer in the conversation")
    attempt: int = Field(default=1, ge=1, description="How often the question was put to the model")
    elapsed_ms: int | None = Field(default=None, ge=0, description="From the question to the end of the answer")
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)


class ConversationAnswerCompleted(_OfAnswer):
    """An answer is complete."""

    type = "conversation.answer_completed"
    model: str = Field(default="", description="Name in the model catalogue")
    degraded: tuple[str, ...] = Field(default=(), description="Stages that were skipped or replaced")


class ConversationAnswerFailed(_OfAnswer):
    """An answer broke off, or nothing came of it in time (compensation of the message's saga)."""

    type = "conversation.answer_failed"
    code: int = Field(description="Of the error catalogue")


class ConversationAnswerStopped(_OfAnswer):
    """An answer was ended by its reader, or because nobody read it any more."""

    type = "conversation.answer_stopped"
    by: Literal["request", "vanished"]


class _OfFeedback(_OfConversation):
    message_id: UUID = Field(description="The answer judged")


class FeedbackGiven(_OfFeedback):
    """An answer was judged, for the first time or anew. The comment is not part of the event."""

    type = "feedback.given"
    rating: Literal["up", "down"]


class FeedbackWithdrawn(_OfFeedback):
    """A judgement was taken back."""

    type = "feedback.withdrawn"


class _OfUser(Fact):
    order = "user"
    user_id: UUID


class UserCreated(_OfUser):
    """An account was created, or a visitor let in."""

    type = "user.created"
    kind: Literal["person", "visitor"] = "person"
    role: str


class UserUpdated(_OfUser):
    """An account's name or role changed, or whether it administers the platform."""

    type = "user.updated"
    changed: tuple[Literal["name", "role", "platform"], ...]
    user_version: int


class UserDisabled(_OfUser):
    """An account may no longer log in; its sessions and keys ended."""

    type = "user.disabled"


class UserEnabled(_OfUser):
    """A disabled account may log in again."""

    type = "user.enabled"


class UserErased(_OfUser):
    """All data of a user was erased; what consumers keep about the user must go too."""

    type = "user.erased"


class BudgetPassed(Fact):
    """A limit of money was passed for the first time in this month; a limit that was changed passes anew."""

    type = "budget.passed"
    kind: Literal["tenant", "user", "key"]
    subject_id: UUID | None = Field(default=None, description="The user or key")
    level: Literal["soft", "hard"]
    month: str = Field(description="In UTC: 2026-11")
    limit_micros: int = Field(ge=0, description="Micro-dollars")
    spent_micros: int = Field(ge=0, description="Spent in the month when it was passed, or a call refused")


class TenantCreated(Fact):
    """A tenant was created."""

    type = "tenant.created"


class TenantUpdated(Fact):
    """A tenant was renamed."""

    type = "tenant.updated"


class TenantDisabled(Fact):
    """Nobody of the tenant may do anything any more."""

    type = "tenant.disabled"


class TenantEnabled(Fact):
    """A disabled tenant works again."""

    type = "tenant.enabled"


class _OfExperiment(Fact):
    experiment_id: UUID


class ExperimentStarted(_OfExperiment):
    """An experiment on models runs from now on."""

    type = "experiment.started"


class ExperimentStopped(_OfExperiment):
    """An experiment was stopped; its calls are served as asked again."""

    type = "experiment.stopped"


class ExperimentVariantStopped(_OfExperiment):
    """A guard rail stopped a variant; its users are served like the control."""

    type = "experiment.variant_stopped"
    variant: str


FACTS: Final[tuple[type[Fact], ...]] = (
    TenantCreated,
    TenantUpdated,
    TenantDisabled,
    TenantEnabled,
    UserCreated,
    UserUpdated,
    UserDisabled,
    UserEnabled,
    UserErased,
    KnowledgeBaseCreated,
    KnowledgeBaseDeleted,
    DocumentUploaded,
    DocumentIndexed,
    DocumentFailed,
    DocumentDeleted,
    ConversationCreated,
    ConversationUpdated,
    ConversationDeleted,
    ConversationMessageSent,
    ConversationAnswerCompleted,
    ConversationAnswerFailed,
    ConversationAnswerStopped,
    FeedbackGiven,
    FeedbackWithdrawn,
    BudgetPassed,
    ExperimentStarted,
    ExperimentStopped,
    ExperimentVariantStopped,
)

CATALOGUE: Final[Mapping[tuple[str, int], type[Fact]]] = {(fact.type, fact.version): fact for fact in FACTS}
"""By type and version."""


def fact_of(event: Event) -> Fact:
    """What `event` says. Raises `UnreadableEvent` for a type or version not in the catalogue, or a payload that does
    not fit it."""
    kind = CATALOGUE.get((event.type, event.version))
    if kind is None:
        raise UnreadableEvent(f"Unknown event {event.type} v{event.version}")
    return read_fact(kind, event)
