"""Thumbs and words on answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from voicehelper.conversations.model import Owner, Rating


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thinks of an answer."""

    message_id: UUID
    rating: Rating
    comment: str
    created_at: datetime
    updated_at: datetime


class FeedbackRepository(Protocol):
    """Where feedback lies: one for an answer and its asker. Raises `Unavailable`, and `NotFound` where the owner has no
    such answer, or one that is still being written. Changes put their event into the outbox in the same transaction."""

    async def give(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, rating: Rating, comment: str
    ) -> Feedback:
        """Keep it, in place of what was said before."""
        ...

    async def withdraw(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> None:
        """Remove it, if there is any."""
        ...
