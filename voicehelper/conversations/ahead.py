"""Runs ahead of a question that is still being spoken in a conversation."""

from typing import Protocol
from uuid import UUID

from voicehelper.conversations.context import ContextWindow
from voicehelper.conversations.model import Conversation, KnowledgeScopes, Owner
from voicehelper.conversations.turns import TurnRepository
from voicehelper.rag.events import Question
from voicehelper.rag.port import QuestionAnswerer


class _Conversations(Protocol):
    async def get(self, owner: Owner, conversation_id: UUID) -> Conversation: ...


class QuestionsAhead:
    """Puts a probable question before the answerer just as the real one will be put, so that it knows it again.

    Args:
        conversations: which knowledge bases a conversation searches.
        turns: how far it is.
        scopes: which bases there are.
        window: what was said before.
        answerer: what is prepared.
    """

    def __init__(
        self,
        conversations: _Conversations,
        turns: TurnRepository,
        scopes: KnowledgeScopes,
        window: ContextWindow,
        answerer: QuestionAnswerer,
    ) -> None:
        self._conversations = conversations
        self._turns = turns
        self._scopes = scopes
        self._window = window
        self._answerer = answerer

    async def prepare(self, owner: Owner, conversation_id: UUID, text: str) -> None:
        """Returns when everything is prepared; cancelling gives it up. Raises `NotFound`, `Unavailable`."""
        conversation = await self._conversations.get(owner, conversation_id)
        last = await self._turns.stored_from(owner, conversation_id, 0, 1)
        seq, attempt = (last[-1].turn.answer.seq + 1, last[-1].turn.attempt) if last else (1, 0)
        window = await self._window.load(owner.tenant_id, conversation_id, seq, attempt)
        kb_ids = conversation.kb_ids or await self._scopes.resolve(owner.tenant_id, ())
        question = Question(text, owner.tenant_id, kb_ids, window.history, window.summary, spoken=True)
        await self._answerer.prepare(question)
