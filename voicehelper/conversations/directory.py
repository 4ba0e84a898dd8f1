"""Conversations as their owner sees them: create, list, read, delete."""

from collections.abc import Sequence
from uuid import UUID

from voicehelper.conversations.model import Conversation, ConversationRepository, KnowledgeScopes, Message, Owner, Place


class ConversationDirectory:
    """A user's conversations and their messages. Nobody sees another's: those are `NotFound`."""

    def __init__(self, repository: ConversationRepository, scopes: KnowledgeScopes) -> None:
        self._repository = repository
        self._scopes = scopes

    async def create(self, owner: Owner, title: str, references: Sequence[str]) -> Conversation:
        """A new conversation over the bases named by id or name (none: all). Raises `NotFound` for an unknown one."""
        kb_ids = await self._scopes.resolve(owner.tenant_id, references) if references else ()
        return await self._repository.create(owner, title, kb_ids)

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """The conversation. Raises `NotFound`."""
        return await self._repository.get(owner, conversation_id)

    async def page(self, owner: Owner, limit: int, after: Place | None = None) -> list[Conversation]:
        """Conversations, last changed first."""
        return await self._repository.page(owner, limit, after)

    async def delete(self, owner: Owner, conversation_id: UUID) -> None:
        """Delete with all messages. Raises `NotFound`."""
        await self._repository.delete(owner, conversation_id)

    async def messages(self, owner: Owner, conversation_id: UUID, limit: int, after_seq: int = 0) -> list[Message]:
        """Messages in order. Raises `NotFound`."""
        return await self._repository.messages(owner, conversation_id, limit, after_seq)
