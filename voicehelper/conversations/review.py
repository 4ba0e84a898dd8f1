"""Conversations as those see them who look after the quality of answers: everybody's, read only, each look audited."""

from typing import Protocol
from uuid import UUID

from voicehelper.conversations.model import Conversation, Filter, Message, Place
from voicehelper.identity.acts import act_of
from voicehelper.identity.audit import AuditLog
from voicehelper.identity.model import Principal


class ReviewRepository(Protocol):
    """All conversations of a tenant. Raises `Unavailable`."""

    async def page(self, tenant_id: UUID, chosen: Filter, limit: int, after: Place | None) -> list[Conversation]:
        """Conversations, last asked in first."""
        ...

    async def messages(self, tenant_id: UUID, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """Messages with `seq` above `after_seq`, in order, with the owner's feedback. Raises `NotFound`."""
        ...


class ConversationReview:
    """What a holder of `conversations:review` may see. No look without an entry in the audit log: it is written before
    anything is shown, and only of what was there to be seen."""

    def __init__(self, repository: ReviewRepository, audit: AuditLog) -> None:
        self._repository = repository
        self._audit = audit

    async def page(self, by: Principal, chosen: Filter, limit: int, after: Place | None) -> list[Conversation]:
        """Conversations of the tenant, last asked in first."""
        user = {"user_id": str(chosen.user_id)} if chosen.user_id else {}
        entry = act_of(by, "conversation.listed", "conversation", "", searched=bool(chosen.text), **user)
        found = await self._repository.page(by.tenant_id, chosen, limit, after)
        await self._audit.record(entry)
        return found

    async def messages(self, by: Principal, conversation_id: UUID, limit: int, after_seq: int) -> list[Message]:
        """Messages of one. Raises `NotFound`."""
        found = await self._repository.messages(by.tenant_id, conversation_id, limit, after_seq)
        await self._audit.record(act_of(by, "conversation.reviewed", "conversation", conversation_id))
        return found
