"""The OpenAI Realtime protocol."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket

from voicehelper.conversations import Owner
from voicehelper.errors import Forbidden, ModelUnavailable, NotFound
from voicehelper.gateway.credentials import chosen_subprotocol, credential_of
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.gateway.realtime.opening import connection, refused
from voicehelper.identity import Principal
from voicehelper.voice.commands import SessionRequest

_PERMISSION = "voice:talk"

router = APIRouter(prefix="/v1", tags=["voice"])


@router.websocket("/realtime", dependencies=[requires(_PERMISSION, visitors=True)])
async def realtime(
    socket: WebSocket,
    caller: Caller,
    services: Wired,
    model: Annotated[str, Query(max_length=100)] = "",
    conversation_id: UUID | None = None,
) -> None:
    """OpenAI's Realtime protocol (GA), see docs/voice-realtime.md. Any `model` is taken: answers come from the
    tenant's knowledge bases. `conversation_id` (of ours) goes on in a conversation; a visitor talks in its own.

    Closes 4401 when the token ends, 4403 when it may no longer talk, 4404 for a conversation that is not there, 4429
    for too many sessions, 4503 without speech models; before each of these comes an `error` event.
    """
    credential = credential_of(socket.scope)

    async def check() -> None:
        principal = await services.authenticator.authenticate(credential)
        if not principal.may(_PERMISSION):
            raise Forbidden(details={"permission": _PERMISSION})

    await socket.accept(chosen_subprotocol(socket.scope))
    async with refused(socket):
        if services.voice is None:
            raise ModelUnavailable("Nobody can talk here: no speech models")
        request = SessionRequest(_conversation(caller, conversation_id))
        session = await services.voice.open(Owner(caller.tenant_id, caller.user_id), request)
    await connection(socket, session, services.voice.settings, check, model=model).run()


def _conversation(caller: Principal, asked: UUID | None) -> UUID | None:
    """A visitor talks in his own conversation."""
    if caller.kind != "visitor":
        return asked
    if caller.conversation_id is None or asked not in (None, caller.conversation_id):
        raise NotFound("No such conversation")
    return caller.conversation_id
