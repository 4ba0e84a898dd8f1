"""Thumbs and words on answers."""

from uuid import UUID

from fastapi import APIRouter

from voicehelper.gateway.params import Asker, Wired, requires
from voicehelper.wire.conversations import FeedbackBody, FeedbackView

router = APIRouter(prefix="/conversations", tags=["conversations"])

_WRITE = [requires("conversations:write")]
_PATH = "/{conversation_id}/messages/{message_id}/feedback"


@router.put(_PATH, summary="Say whether an answer helped", dependencies=_WRITE)
async def give_feedback(
    conversation_id: UUID, message_id: UUID, body: FeedbackBody, asker: Asker, services: Wired
) -> FeedbackView:
    """Replaces what was said before. 404 for a question, and for an answer that is still being written."""
    given = await services.feedback.give(asker, conversation_id, message_id, body.rating, body.comment)
    return FeedbackView.model_validate(given)


@router.delete(_PATH, status_code=204, summary="Take it back", dependencies=_WRITE)
async def withdraw_feedback(conversation_id: UUID, message_id: UUID, asker: Asker, services: Wired) -> None:
    """Nothing happens where there is none."""
    await services.feedback.withdraw(asker, conversation_id, message_id)
