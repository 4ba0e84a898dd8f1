"""What is stored about a user, and what was erased."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import View
from voicehelper.wire.conversations import ConversationView, FeedbackView, MessageView


class StoredAccount(View):
    """The account."""

    id: UUID
    email: str | None
    name: str
    kind: Literal["person", "visitor"]
    role: str
    disabled: bool
    created_at: datetime
    last_login_at: datetime | None


class StoredSession(View):
    """A login."""

    id: UUID
    client: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    reason: str


class StoredKey(View):
    """An API key, without its secret."""

    id: UUID
    name: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class StoredCall(View):
    """A voice session that was not tidied away yet: its options, and the journal of all that happened in it, with what
    was understood. Sound is not stored."""

    id: UUID
    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    reason: str
    options: dict[str, Any]
    journal: list[Any]


class StoredUse(View):
    """A call of a model, and what it cost. When the user is erased the row stays, with nobody's name."""

    id: UUID
    at: datetime
    feature: str
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cost_micros: int
    outcome: str


class StoredAct(View):
    """An entry of the audit log by the user or about the user."""

    id: UUID
    at: datetime
    action: str
    resource: str
    resource_id: str
    outcome: str
    address: str = Field(description="Network part")
    details: dict[str, Any]


class UserExport(View):
    """Everything stored about a user."""

    user: StoredAccount
    sessions: list[StoredSession]
    api_keys: list[StoredKey]
    conversations: list[ConversationView]
    messages: list[MessageView]
    feedback: list[FeedbackView]
    voice_sessions: list[StoredCall]
    usage: list[StoredUse]
    audit: list[StoredAct]


class ErasureView(View):
    """How much of each there was, and is no more. The audit log keeps an entry with these counts."""

    conversations: int
    messages: int
    feedback: int
    sessions: int
    api_keys: int
    stored_responses: int
