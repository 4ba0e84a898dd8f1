"""Following a conversation live, on any number of devices."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket

from voicehelper.conversations import START, Mark
from voicehelper.errors import Forbidden, InvalidInput
from voicehelper.gateway.credentials import credential_of
from voicehelper.gateway.params import Asker, Wired, requires
from voicehelper.gateway.sockets import ConversationSocket

_PERMISSION = "conversations:read"

router = APIRouter(prefix="/ws", tags=["conversations"])


@router.websocket("/conversations/{conversation_id}", dependencies=[requires(_PERMISSION)])
async def follow_conversation(
    conversation_id: UUID,
    socket: WebSocket,
    asker: Asker,
    services: Wired,
    after: Annotated[str | None, Query(max_length=60)] = None,
) -> None:
    """Frames `{"id", "message_id", "event", "data"}`: the events of every answer in the conversation as they come.

    Begins with the answer being written, or after `after` (`<message_id>:<id>` of the last frame received), and misses
    nothing in between. Closes 4401 when the token ends, 4403 when it may no longer read, 4404 when the conversation is
    gone, 1013 when the device does not keep up.
    """
    message_id, seen = _place(after)
    credential = credential_of(socket.scope)

    async def check() -> None:
        principal = await services.authenticator.authenticate(credential)
        if not principal.may(_PERMISSION):
            raise Forbidden(details={"permission": _PERMISSION})

    async with services.answers.watch(asker, conversation_id, message_id, seen) as events:
        await ConversationSocket(socket, events, check).run()


def _place(after: str | None) -> tuple[UUID | None, Mark]:
    if not after:
        return None, START
    message_id, _, event_id = after.partition(":")
    try:
        return UUID(message_id), Mark.parse(event_id)
    except ValueError:
        raise InvalidInput("Not a place of ours") from None
