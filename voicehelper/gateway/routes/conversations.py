"""Conversations and their history."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.conversations import Conversation, Place
from voicehelper.gateway.params import Asker, Cursor, Limit, Wired, decode_place, encode_place, requires
from voicehelper.wire.common import Page
from voicehelper.wire.conversations import ConversationCreate, ConversationView, MessageView

router = APIRouter(prefix="/conversations", tags=["conversations"])

_READ = [requires("conversations:read")]
_WRITE = [requires("conversations:write")]


@router.post("", status_code=201, summary="Begin a conversation", dependencies=_WRITE)
async def create_conversation(body: ConversationCreate, asker: Asker, services: Wired) -> ConversationView:
    """404 when a knowledge base is named that is not there."""
    return _view(await services.conversations.create(asker, body.title, body.knowledge_bases))


@router.get("", summary="List one's conversations, last changed first", dependencies=_READ)
async def list_conversations(
    asker: Asker, services: Wired, cursor: Cursor = None, limit: Limit = 50
) -> Page[ConversationView]:
    """A page of the caller's own conversations; nobody sees another's."""
    found = await services.conversations.page(asker, limit, decode_place(cursor))
    last = found[-1] if len(found) == limit else None
    return Page(
        items=[_view(conversation) for conversation in found],
        next_cursor=encode_place(Place(last.updated_at, last.id)) if last else None,
    )


@router.get("/{conversation_id}", summary="One conversation", dependencies=_READ)
async def get_conversation(conversation_id: UUID, asker: Asker, services: Wired) -> ConversationView:
    """Without its messages."""
    return _view(await services.conversations.get(asker, conversation_id))


@router.delete(
    "/{conversation_id}", status_code=204, summary="Delete a conversation with its messages", dependencies=_WRITE
)
async def delete_conversation(conversation_id: UUID, asker: Asker, services: Wired) -> None:
    """An answer being written there is lost."""
    await services.conversations.delete(asker, conversation_id)


@router.get("/{conversation_id}/messages", summary="Messages in order", dependencies=_READ)
async def list_messages(
    conversation_id: UUID,
    asker: Asker,
    services: Wired,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only messages with a higher `seq`")] = 0,
    limit: Limit = 50,
) -> Page[MessageView]:
    """`next_cursor` is the `after` of the next page."""
    found = await services.conversations.messages(asker, conversation_id, limit, after)
    return Page(
        items=[MessageView.model_validate(message) for message in found],
        next_cursor=str(found[-1].seq) if len(found) == limit else None,
    )


def _view(conversation: Conversation) -> ConversationView:
    return ConversationView(
        id=conversation.id,
        title=conversation.title,
        knowledge_bases=list(conversation.kb_ids),
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )
