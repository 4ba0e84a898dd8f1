"""Texts read out, with the path, body and errors of OpenAI's API."""

import base64
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import Response

from voicehelper.errors import InvalidInput, ModelUnavailable
from voicehelper.gateway.params import Wired, requires
from voicehelper.gateway.sound import SoundStream
from voicehelper.gateway.stream import while_connected
from voicehelper.voice.reading_out import STYLES, Reading, read_out
from voicehelper.wire.speech import SpeechCreate, SpeechDelta, SpeechDone, SpeechUsage

router = APIRouter(prefix="/v1/audio", tags=["speech"])

_FORMS = ("audio/mpeg", "audio/ogg", "audio/flac", "audio/wav", "audio/pcm")
_FILE = {"description": "The sound, while it is made", "content": {form: {} for form in _FORMS}}


@router.post(
    "/speech",
    summary="Have a text spoken",
    response_class=Response,
    responses={200: _FILE},
    dependencies=[requires("speech:use")],
)
async def speech(body: SpeechCreate, request: Request, services: Wired) -> Response:
    """The sound file of a text in Chinese, English or both, sent while it is being made. The official `openai` client
    works unchanged. What goes wrong after the first sound breaks the connection off."""
    if services.tts is None:
        raise ModelUnavailable
    sound = await read_out(services.tts, _reading(body))
    parts = sound.parts if body.stream_format == "audio" else _events(sound.parts, len(body.input))
    try:
        first = await while_connected(request.receive, anext(parts, b""))
    except BaseException:  # also when this request is cancelled: nobody will read on
        await parts.aclose()
        raise
    if not first:
        raise InvalidInput("Nothing in this text can be spoken")
    return SoundStream(first, parts, sound.media_type if body.stream_format == "audio" else "text/event-stream")


def _reading(body: SpeechCreate) -> Reading:
    style = body.instructions.strip().lower()
    return Reading(
        body.input, body.model, body.voice, style if style in STYLES else "", body.speed, body.response_format
    )


async def _events(parts: AsyncGenerator[bytes, None], characters: int) -> AsyncGenerator[bytes, None]:
    try:
        async for part in parts:
            yield _event(SpeechDelta(audio=base64.b64encode(part).decode()))
        yield _event(SpeechDone(usage=SpeechUsage(input_tokens=characters, total_tokens=characters)))
    finally:
        await parts.aclose()


def _event(event: SpeechDelta | SpeechDone) -> bytes:
    return f"data: {event.model_dump_json()}\n\n".encode()
