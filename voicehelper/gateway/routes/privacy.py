"""A user's data: all of it, or none of it any more."""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from voicehelper.conversations.export import json_document
from voicehelper.conversations.model import Conversation
from voicehelper.conversations.privacy import Record
from voicehelper.gateway.downloads import download
from voicehelper.gateway.params import Wired, requires
from voicehelper.gateway.routes.conversations import conversation_view, message_texts
from voicehelper.identity import Principal
from voicehelper.wire.common import View
from voicehelper.wire.conversations import FeedbackView
from voicehelper.wire.privacy import (
    ErasureView,
    StoredAccount,
    StoredAct,
    StoredCall,
    StoredKey,
    StoredSession,
    StoredUse,
    UserExport,
)

router = APIRouter(prefix="/users/{user_id}", tags=["privacy"])

Officer = Annotated[Principal, requires("privacy:write")]

_EXPORTED: dict[int | str, dict[str, Any]] = {200: {"description": "Everything, streamed"}}


@router.get("/export", summary="Everything stored about a user", response_model=UserExport, responses=_EXPORTED)
async def export_user(user_id: UUID, caller: Officer, services: Wired) -> Response:
    """Account, logins, keys, conversations with all messages, feedback, calls, use of models, and what the audit log
    says. Leaves an entry in the audit log itself."""
    privacy = services.privacy
    user = await privacy.export(caller, user_id)
    parts = json_document(
        {
            "user": StoredAccount.model_validate(user).model_dump_json(),
            "sessions": _texts(privacy.section(caller, user_id, "sessions"), StoredSession.model_validate),
            "api_keys": _texts(privacy.section(caller, user_id, "api_keys"), StoredKey.model_validate),
            "conversations": _conversations(privacy.conversations(caller, user_id)),
            "messages": message_texts(privacy.messages(caller, user_id)),
            "feedback": _texts(privacy.section(caller, user_id, "feedback"), FeedbackView.model_validate),
            "voice_sessions": _texts(privacy.section(caller, user_id, "voice_sessions"), StoredCall.model_validate),
            "usage": _texts(privacy.section(caller, user_id, "usage"), StoredUse.model_validate),
            "audit": _texts(privacy.section(caller, user_id, "audit"), StoredAct.model_validate),
        }
    )
    return await download(parts, "application/json", f"user-{user_id}.json")


@router.post("/erase", summary="Erase everything stored about a user")
async def erase_user(user_id: UUID, caller: Officer, services: Wired) -> ErasureView:
    """Conversations with messages and feedback, logins, keys, stored responses and caches are deleted; of the account a
    row without a name remains that nobody can log in to. The audit log keeps the proof. 409 for oneself and for the
    last owner."""
    return ErasureView.model_validate(await services.privacy.erase(caller, user_id))


async def _texts(
    pages: AsyncGenerator[list[Record], None], view: Callable[[Record], View]
) -> AsyncGenerator[list[str], None]:
    async for page in pages:
        yield [view(record).model_dump_json() for record in page]


async def _conversations(pages: AsyncGenerator[list[Conversation], None]) -> AsyncGenerator[list[str], None]:
    async for page in pages:
        yield [conversation_view(conversation).model_dump_json() for conversation in page]
