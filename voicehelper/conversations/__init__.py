"""Conversations, their messages, and the one way a question gets its answer."""

from voicehelper.conversations.directory import ConversationDirectory
from voicehelper.conversations.model import (
    Attachment,
    Change,
    Conversation,
    ConversationRepository,
    Filter,
    KnowledgeScopes,
    Message,
    Owner,
    Place,
    Turn,
    TurnCompleted,
    TurnEvent,
    TurnRepository,
    TurnStarted,
)
from voicehelper.conversations.service import AnswerService

__all__ = [
    "AnswerService",
    "Attachment",
    "Change",
    "Conversation",
    "ConversationDirectory",
    "ConversationRepository",
    "Filter",
    "KnowledgeScopes",
    "Message",
    "Owner",
    "Place",
    "Turn",
    "TurnCompleted",
    "TurnEvent",
    "TurnRepository",
    "TurnStarted",
]
