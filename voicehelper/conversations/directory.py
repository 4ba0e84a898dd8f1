"""Conversations as their owner sees them: begin, find, read, rename, archive, delete."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from uuid import UUID

from voicehelper.conversations.context import ContextWindow
from voicehelper.conversations.model import (
    Change,
    Conversation,
    ConversationRepository,
    Filter,
    KnowledgeScopes,
    Message,
    Owner,
    Place,
)
from voicehelper.effects import after_commit
from voicehelper.errors import VersionConflict

_PAGE = 200


class ConversationDirectory:
    """A user's conversations and their messages. Nobody sees another's: those are `NotFound`.

    Args:
        repository: where they lie.
        scopes: the knowledge bases a conversation may name.
        context: what remembers conversations besides, and forgets deleted ones.
    """

    def __init__(
        self, repository: ConversationRepository, scopes: KnowledgeScopes, context: ContextWindow | None = None
    ) -> None:
        self._repository = repository
        self._scopes = scopes
        self._context = context

    async def create(self, owner: Owner, title: str, references: Sequence[str]) -> Conversation:
        """A new conversation over the bases named by id or name (none: all). Raises `NotFound` for an unknown one."""
        kb_ids = await self._scopes.resolve(owner.tenant_id, references) if references else ()
        return await self._repository.create(owner, title, kb_ids)

    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation:
        """The conversation. Raises `NotFound`."""
        return await self._repository.get(owner, conversation_id)

    async def page(
        self, owner: Owner, limit: int, after: Place | None = None, chosen: Filter | None = None
    ) -> list[Conversation]:
        """Conversations, last asked in first; without a filter those not archived."""
        return await self._repository.page(owner, chosen or Filter(), limit, after)

    async def change(self, owner: Owner, conversation_id: UUID, change: Change) -> Conversation:
        """The changed conversation. Raises `NotFound`, and `VersionConflict` where it changed meanwhile."""
        if change.title is None and change.archived is None:
            present = await self._repository.get(owner, conversation_id)
            if present.version != change.version:
                raise VersionConflict(details={"version": present.version})
            return present
        return await self._repository.change(owner, conversation_id, change)

    async def delete(self, owner: Owner, conversation_id: UUID) -> None:
        """Delete with all messages. Raises `NotFound`."""
        await self._repository.delete(owner, conversation_id)
        if self._context is not None:
            await after_commit(partial(self._context.forget, owner.tenant_id, [conversation_id]))

    async def messages(self, owner: Owner, conversation_id: UUID, limit: int, after_seq: int = 0) -> list[Message]:
        """Messages in order. Raises `NotFound`."""
        return await self._repository.messages(owner, conversation_id, limit, after_seq)

    async def all_messages(self, owner: Owner, conversation_id: UUID) -> AsyncGenerator[list[Message], None]:
        """Every message in order, in pages that are read as they are taken. Raises `NotFound`."""
        seq, page = 0, await self._repository.messages(owner, conversation_id, _PAGE, 0)
        while True:
            yield page
            if len(page) < _PAGE:
                return
            seq = page[-1].seq
            page = await self._repository.messages(owner, conversation_id, _PAGE, seq)
