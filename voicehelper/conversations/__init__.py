"""Conversations, their messages, and the one way a question gets its answer."""

from voicehelper.conversations.directory import ConversationDirectory
from voicehelper.conversations.live import START, LiveEvent, LiveLog, Mark
from voicehelper.conversations.live_views import error_of
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
)
from voicehelper.conversations.service import AnswerService, Asked
from voicehelper.conversations.turns import Ask, Turn, TurnRepository

__all__ = [
    "START",
    "AnswerService",
    "Ask",
    "Asked",
    "Attachment",
    "Change",
    "Conversation",
    "ConversationDirectory",
    "ConversationRepository",
    "Filter",
    "KnowledgeScopes",
    "LiveEvent",
    "LiveLog",
    "Mark",
    "Message",
    "Owner",
    "Place",
    "Turn",
    "TurnRepository",
    "error_of",
]
