"""Conversations, their messages, and the one way a question gets its answer."""

from voicehelper.conversations.model import (
    Conversation,
    ConversationRepository,
    KnowledgeScopes,
    Message,
    Owner,
    Place,
    Turn,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
)
from voicehelper.conversations.service import ConversationService

__all__ = [
    "Conversation",
    "ConversationRepository",
    "ConversationService",
    "KnowledgeScopes",
    "Message",
    "Owner",
    "Place",
    "Turn",
    "TurnCompleted",
    "TurnEvent",
    "TurnStarted",
]
