"""Conversations, messages, and what happens while one is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from voicehelper.rag.events import Citation

MessageStatus = Literal["streaming", "completed", "failed", "stopped"]
Rating = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose conversations: nobody else sees them."""

    tenant_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread of questions and answers. Empty `kb_ids` means all knowledge bases of the tenant.

    Attributes:
        updated_at: when it was last asked in, or begun.
        user_id: the owner.
        archived_at: since when it is out of the way; None where it is not.
        version: counts changes of title and archive, for optimistic locking.
    """

    id: UUID
    title: str
    kb_ids: tuple[UUID, ...]
    created_at: datetime
    updated_at: datetime
    user_id: UUID
    archived_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Attachment:
    """What came with a question: a description only; the file lies with the asker, at `url` if there is one."""

    name: str
    content_type: str
    size_bytes: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer; `seq` is its place in the conversation, from 1.

    Attributes:
        attachments: of a question.
        rating: how the owner judged the answer, where messages are listed; None elsewhere.
        alternatives: what the answer said before it was written anew, oldest first, where messages are listed: JSON
            with `content`, `status`, `citations`, `metadata`, `completed_at`, `rating`, `comment`.
    """

    id: UUID
    conversation_id: UUID
    seq: int
    role: Literal["user", "assistant"]
    status: MessageStatus
    content: str
    created_at: datetime
    citations: tuple[Citation, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    completed_at: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    rating: Rating | None = None
    alternatives: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of conversations begins: after the one with these."""

    updated_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Filter:
    """Which conversations are listed.

    Attributes:
        text: what title or a message contains, whatever the case; empty for all.
        archived: the archived ones instead of the others; None for both.
        user_id: only this user's, where more than one user's can be seen.
    """

    text: str = ""
    archived: bool | None = False
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a conversation; None leaves as it is. `version` is the one the caller saw."""

    version: int
    title: str | None = None
    archived: bool | None = None


class ConversationRepository(Protocol):
    """Where conversations lie. Every method raises `Unavailable` when the store cannot be reached, and `NotFound` where
    the owner has no such conversation. Changes put their event into the outbox in the same transaction."""

    async def create(self, owner: Owner, title: str, kb_ids: Sequence[UUID]) -> Conversation:
        """A new conversation."""
        ...

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """The conversation."""
        ...

    async def page(self, owner: Owner, chosen: Filter, limit: int, after: Place | None) -> list[Conversation]:
        """Conversations of the owner, last asked in first."""
        ...

    async def change(self, owner: Owner, conversation_id: UUID, change: Change) -> Conversation:
        """The changed conversation. Raises `VersionConflict`."""
        ...

    async def delete(self, owner: Owner, conversation_id: UUID) -> None:
        """Delete the conversation with its messages."""
        ...

    async def messages(self, owner: Owner, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """Messages with `seq` above `after_seq`, in order."""
        ...


class KnowledgeScopes(Protocol):
    """Which knowledge bases a tenant has."""

    async def resolve(self, tenant_id: UUID, references: Sequence[str]) -> tuple[UUID, ...]:
        """Ids of the bases named by id or name; all of the tenant's for no reference. Raises `NotFound`."""
        ...


def title_of(question: str, longest: int = 40) -> str:
    """A conversation's title from its first question: its first line, cut at `longest` characters."""
    line = " ".join(question.strip().splitlines()[0].split()) if question.strip() else ""
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
