"""Puts a connection of `/v1/realtime` together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicehelper.config import VoiceSettings
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.realtime.answers import Answers
from voicehelper.gateway.realtime.configuration import Configuration, Facts
from voicehelper.gateway.realtime.connection import Connection
from voicehelper.gateway.realtime.dialogue import Dialogue
from voicehelper.gateway.realtime.items import Items
from voicehelper.gateway.realtime.playback import Playback
from voicehelper.gateway.realtime.refusals import failure_event
from voicehelper.gateway.realtime.speech import UserSpeech
from voicehelper.gateway.realtime.telling import Teller
from voicehelper.ids import new_id
from voicehelper.voice.session_port import Session

MODEL = "voicehelper"
"""What the session calls its model where the client named none."""


def connection(
    socket: WebSocket,
    session: Session,
    settings: VoiceSettings,
    check: Callable[[], Awaitable[object]],
    *,
    model: str = "",
    transcriber: str = "",
) -> Connection:
    """What serves `socket`, which is accepted, with `session`, which is new.

    Args:
        check: raises when the client's token is no longer good.
        model: the client's name for what answers; any is taken.
        transcriber: the model that writes down what is said.
    """
    info = session.info
    facts = Facts(
        f"sess_{info.id.hex}",
        str(info.conversation_id),
        model or MODEL,
        int(time.time() + settings.longest_s),
        settings.vad_threshold,
        transcriber=transcriber,
        turn=info.turn,
    )
    config = Configuration(language=info.speech.language, voice=info.speech.voice, speed=info.speech.speed)
    items = Items()
    speech = UserSpeech(items)
    playback = Playback(info.output_rate, asyncio.get_running_loop().time)
    answers = Answers(items, config, facts, playback)
    dialogue = Dialogue(items, speech, answers, facts, config)
    return Connection(socket, session, dialogue, Teller(speech, answers, playback), check)


@asynccontextmanager
async def refused(socket: WebSocket) -> AsyncIterator[None]:
    """Tells the client of an error that keeps the session from beginning, as the protocol does: by an event before the
    socket closes."""
    try:
        yield
    except VoiceHelperError as error:
        event = {"event_id": f"event_{new_id().hex}", **failure_event(error)}
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.send_text(orjson.dumps(event).decode())
        raise
