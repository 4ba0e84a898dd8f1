"""Conversations as operators see them: everybody's of the tenant, read only, each look in the audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.conversations import Filter
from voicehelper.gateway.params import Cursor, Limit, Search, Wired, decode_place, requires
from voicehelper.gateway.routes.conversations import After, conversation_view, message_page, next_place
from voicehelper.identity import Principal
from voicehelper.wire.common import Page
from voicehelper.wire.conversations import MessageView, ReviewedConversation

router = APIRouter(prefix="/review/conversations", tags=["review"])

Reviewer = Annotated[Principal, requires("conversations:review")]


@router.get("", summary="Conversations of the tenant, last asked in first")
async def review_conversations(
    caller: Reviewer,
    services: Wired,
    *,
    user_id: Annotated[UUID | None, Query(description="Only this user's")] = None,
    q: Search = "",
    archived: Annotated[bool | None, Query(description="Only the archived ones, or only the others")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ReviewedConversation]:
    """Whose they are is part of it."""
    found = await services.review.page(caller, Filter(q, archived, user_id), limit, decode_place(cursor))
    return Page(
        items=[
            ReviewedConversation(user_id=conversation.user_id, **conversation_view(conversation).model_dump())
            for conversation in found
        ],
        next_cursor=next_place(found, limit),
    )


@router.get("/{conversation_id}/messages", summary="Messages in order, with the asker's feedback")
async def review_messages(
    conversation_id: UUID, caller: Reviewer, services: Wired, after: After = 0, limit: Limit = 50
) -> Page[MessageView]:
    """`next_cursor` is the `after` of the next page."""
    return message_page(await services.review.messages(caller, conversation_id, limit, after), limit)
