"""A server of `/ws/voice` that says what a test tells it to: the page's part of a call, without models."""

import asyncio
import json
import math
import struct
from array import array
from collections import Counter
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicehelper.wire.voice import SOUND_HEADER, SOUND_KIND

RATE = 24000


def tone(seconds: float, hertz: float = 440.0, phase: int = 0) -> bytes:
    """A sine at a third of full scale; `phase` is the sample it begins at."""
    count = int(seconds * RATE)
    wave = (int(11000 * math.sin(2 * math.pi * hertz * (phase + at) / RATE)) for at in range(count))
    return array("h", wave).tobytes()


class FakeVoice:
    """Stands in for `/ws/voice`; everything else goes to the application. Keeps what the page sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.socket: WebSocket | None = None
        self.messages: list[dict[str, Any]] = []
        self.sound = b""
        self.sounds: list[bytes] = []
        self.connections = 0
        self.refuse = 0
        self.conversation = ""
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/ws/voice":
            await self._serve(WebSocket(scope, receive, send))
        else:
            await self.app(scope, receive, send)

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept("voicehelper")
        if self.refuse:
            await socket.close(self.refuse, "50301 away")
            return
        self.socket, self.sound = socket, b""
        self.sounds.append(b"")
        self.connections += 1
        try:
            while True:
                self._take(await socket.receive())
        except (WebSocketDisconnect, RuntimeError):
            self._news.set()

    def _take(self, message: Any) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        if message.get("text") is not None:
            self.messages.append(json.loads(message["text"]))
        else:
            self.sound += message["bytes"]
            self.sounds[-1] += message["bytes"]
        self._news.set()

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        """Wait until `condition()` holds, looked at whenever something came."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def sent(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        """The first message of this type not taken yet."""
        await self.until(lambda: any(message["type"] == kind for message in self.messages), seconds)
        found = next(message for message in self.messages if message["type"] == kind)
        self.messages.remove(found)
        return found

    def counts(self) -> Counter[str]:
        return Counter(message["type"] for message in self.messages)

    async def say(self, kind: str, **fields: Any) -> None:
        """A message to the page."""
        assert self.socket is not None
        await self.socket.send_text(json.dumps({"type": kind, **fields}))

    async def facts(self, kind: str, **fields: Any) -> None:
        """`session.created`, `session.resumed`."""
        self.conversation = self.conversation or str(uuid4())
        audio = {"encoding": "pcm16", "sample_rate": RATE}
        await self.say(
            kind,
            session_id=str(uuid4()),
            conversation_id=self.conversation,
            resume_token="resume-me",
            resume_s=30.0,
            input=audio | {"sample_rate": 16000},
            output=audio,
            **fields,
        )

    async def play(self, sample: int, pcm: bytes, generation: int = 0, flags: int = 0) -> int:
        """Sound in frames of 20 ms. Returns the sample after it."""
        assert self.socket is not None
        step = RATE // 50 * 2
        for at in range(0, len(pcm), step):
            piece = pcm[at : at + step]
            await self.socket.send_bytes(SOUND_HEADER.pack(SOUND_KIND, flags, generation, sample) + piece)
            sample += len(piece) // 2
        return sample

    async def drop(self, code: int) -> None:
        """Close the socket."""
        assert self.socket is not None
        await self.socket.close(code)


def samples(pcm: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(pcm) // 2}h", pcm)
