"""Our `/ws/voice` under uvicorn, with a recogniser, a model and a voice that only wait; the real ear and the real
session, kept in memory.

    python -m benchmarks.voice_peers.our_server PORT JSON      JSON: the fields of `Setting`
"""

import asyncio
import json
import math
import sys
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from actors.vad import build_voice_activity
from voicehelper.config import Settings, VoiceSettings
from voicehelper.gateway.voice_socket import VoiceSocket
from voicehelper.identity import Principal
from voicehelper.ports.speech import FakeSpeechToText, FakeTextToSpeech, Utterance
from voicehelper.voice.calls import VoiceCalls
from voicehelper.voice.session_fakes import FakeAnswers, FakeConversations, fake_parts


@dataclass(frozen=True)
class Setting:
    """Delays in seconds; `silence_ms` ends a turn."""

    stt_s: float
    llm_s: float
    tts_s: float
    text: str
    sound_s: float
    silence_ms: int


class WaitingVoice(FakeTextToSpeech):
    """Waits, then hums; the sound is made beforehand, as in the other server."""

    def __init__(self, delay: float, sound_s: float) -> None:
        super().__init__(delay)
        hum = (int(8000 * math.sin(n * 440 * math.tau / self.sample_rate)) for n in range(self.sample_rate))
        self._sound = (array("h", hum).tobytes() * math.ceil(sound_s))[: int(sound_s * self.sample_rate) * 2]

    async def synthesize(self, utterance: Utterance) -> AsyncIterator[bytes]:
        """All of the sound, a tenth of a second at a time."""
        await asyncio.sleep(self.delay)
        for start in range(0, len(self._sound), self.sample_rate // 5):
            yield self._sound[start : start + self.sample_rate // 5]


def application(setting: Setting) -> Starlette:
    """One user, who may do everything."""
    voice = VoiceSettings(
        sessions=1000, sessions_per_user=1000, min_silence_ms=setting.silence_ms, dead_air_ms=0, turn_model="off"
    )
    parts = fake_parts(
        stt=FakeSpeechToText(("How long does a refund take?",), setting.stt_s),
        tts=WaitingVoice(setting.tts_s, setting.sound_s),
        answers=FakeAnswers((setting.text,), setting.llm_s, pieces=1),
        settings=voice,
    )
    detector = build_voice_activity(Settings(voice=voice))
    calls = VoiceCalls(replace(parts, vad=detector), FakeConversations())
    user = Principal(UUID(int=1), UUID(int=2))

    async def check(_token: str | None) -> Principal:
        return user

    async def call(socket: WebSocket) -> None:
        await VoiceSocket(socket, calls, user, check).run()

    async def ready(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("yes")

    return Starlette(routes=[WebSocketRoute("/ws", call), Route("/ready", ready)])


if __name__ == "__main__":
    uvicorn.run(application(Setting(**json.loads(sys.argv[2]))), port=int(sys.argv[1]), log_level="warning")
