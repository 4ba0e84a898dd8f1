"""Talking: one socket a call."""

from fastapi import APIRouter, WebSocket

from voicehelper.errors import Forbidden, ModelUnavailable, Unauthenticated
from voicehelper.gateway.credentials import credential_of
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.gateway.voice_socket import VoiceSocket
from voicehelper.identity import Principal

_PERMISSION = "voice:talk"

router = APIRouter(prefix="/ws", tags=["voice"])


@router.websocket("/voice", dependencies=[requires(_PERMISSION, visitors=True)])
async def talk(socket: WebSocket, caller: Caller, services: Wired) -> None:
    """Sound and JSON both ways, see docs/voice.md. A visitor talks in its own conversation.

    Closes 4401 when the token ends, 4403 when it may no longer talk, 4404 for a session or conversation that is not
    there, 4429 for too many sessions, 4503 without speech models, 1012 when the replica restarts: resume then.
    """
    if services.voice is None:
        raise ModelUnavailable("Nobody can talk here: no speech models")
    credential = credential_of(socket.scope)

    async def check(fresh: str | None) -> Principal:
        nonlocal credential
        principal = await services.authenticator.authenticate(fresh or credential)
        if (principal.tenant_id, principal.user_id) != (caller.tenant_id, caller.user_id):
            raise Unauthenticated("Another user's token")
        if principal.conversation_id != caller.conversation_id or not principal.may(_PERMISSION):
            raise Forbidden(details={"permission": _PERMISSION})
        credential = fresh or credential
        return principal

    await VoiceSocket(socket, services.voice, caller, check).run()
