"""Conversations and their history."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from voicehelper.context import current_context
from voicehelper.conversations import Change, Conversation, Filter, Place
from voicehelper.conversations.export import json_document, markdown
from voicehelper.conversations.model import Message
from voicehelper.gateway.downloads import download
from voicehelper.gateway.params import Asker, Cursor, Limit, Search, Wired, decode_place, encode_place, requires
from voicehelper.wire.common import Page
from voicehelper.wire.conversations import (
    ConversationChange,
    ConversationCreate,
    ConversationExport,
    ConversationView,
    MessageView,
)

router = APIRouter(prefix="/conversations", tags=["conversations"])

After = Annotated[int, Query(ge=0, le=2**31 - 1, description="Only messages with a higher `seq`")]

_READ = [requires("conversations:read")]
_WRITE = [requires("conversations:write")]
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole conversation, streamed: JSON, or Markdown to read",
        "content": {"text/markdown": {"schema": {"type": "string"}}},
    }
}


@router.post("", status_code=201, summary="Begin a conversation", dependencies=_WRITE)
async def create_conversation(body: ConversationCreate, asker: Asker, services: Wired) -> ConversationView:
    """404 when a knowledge base is named that is not there."""
    return conversation_view(await services.conversations.create(asker, body.title, body.knowledge_bases))


@router.get("", summary="List or search one's conversations, last asked in first", dependencies=_READ)
async def list_conversations(
    asker: Asker,
    services: Wired,
    *,
    q: Search = "",
    archived: Annotated[bool, Query(description="The archived ones instead of the others")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ConversationView]:
    """A page of the caller's own conversations; nobody sees another's."""
    chosen = Filter(q, archived)
    found = await services.conversations.page(asker, limit, decode_place(cursor), chosen)
    items = [conversation_view(conversation) for conversation in found]
    return Page(items=items, next_cursor=next_place(found, limit))


@router.get("/{conversation_id}", summary="One conversation", dependencies=_READ)
async def get_conversation(conversation_id: UUID, asker: Asker, services: Wired) -> ConversationView:
    """Without its messages."""
    return conversation_view(await services.conversations.get(asker, conversation_id))


@router.patch("/{conversation_id}", summary="Rename a conversation, archive it or take it back", dependencies=_WRITE)
async def change_conversation(
    conversation_id: UUID, body: ConversationChange, asker: Asker, services: Wired
) -> ConversationView:
    """409 with `details.version` when somebody changed it since `version`."""
    change = Change(body.version, body.title, body.archived)
    return conversation_view(await services.conversations.change(asker, conversation_id, change))


@router.delete(
    "/{conversation_id}", status_code=204, summary="Delete a conversation with its messages", dependencies=_WRITE
)
async def delete_conversation(conversation_id: UUID, asker: Asker, services: Wired) -> None:
    """An answer being written there is lost."""
    await services.conversations.delete(asker, conversation_id)


@router.get("/{conversation_id}/messages", summary="Messages in order", dependencies=_READ)
async def list_messages(
    conversation_id: UUID, asker: Asker, services: Wired, after: After = 0, limit: Limit = 50
) -> Page[MessageView]:
    """`next_cursor` is the `after` of the next page."""
    return message_page(await services.conversations.messages(asker, conversation_id, limit, after), limit)


@router.get(
    "/{conversation_id}/export",
    summary="A whole conversation as a file",
    response_model=ConversationExport,
    responses=_EXPORTED,
    dependencies=_READ,
)
async def export_conversation(
    conversation_id: UUID, asker: Asker, services: Wired, format: Literal["json", "markdown"] = "json"
) -> Response:
    """However long it is: the file is written while it is read."""
    conversation = await services.conversations.get(asker, conversation_id)
    pages = services.conversations.all_messages(asker, conversation_id)
    if format == "markdown":
        text = markdown(conversation, pages, current_context().locale)
        return await download(text, "text/markdown", f"conversation-{conversation_id}.md")
    parts = json_document(
        {"conversation": conversation_view(conversation).model_dump_json(), "messages": message_texts(pages)}
    )
    return await download(parts, "application/json", f"conversation-{conversation_id}.json")


def next_place(found: list[Conversation], limit: int) -> str | None:
    """The cursor of the page after `found`."""
    last = found[-1] if len(found) == limit else None
    return encode_place(Place(last.updated_at, last.id)) if last else None


def message_page(found: list[Message], limit: int) -> Page[MessageView]:
    """A page of at most `limit` messages."""
    return Page(
        items=[MessageView.model_validate(message) for message in found],
        next_cursor=str(found[-1].seq) if len(found) == limit else None,
    )


def conversation_view(conversation: Conversation) -> ConversationView:
    """As clients see it."""
    return ConversationView(
        id=conversation.id,
        title=conversation.title,
        knowledge_bases=list(conversation.kb_ids),
        archived=conversation.archived_at is not None,
        version=conversation.version,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


async def message_texts(pages: AsyncGenerator[list[Message], None]) -> AsyncGenerator[list[str], None]:
    """The JSON of each message."""
    async for page in pages:
        yield [MessageView.model_validate(message).model_dump_json() for message in page]
