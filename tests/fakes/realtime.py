"""A voice session that says what the test tells it to, and a socket without a network."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from voicehelper.config import VoiceSettings
from voicehelper.gateway.realtime.connection import Connection
from voicehelper.gateway.realtime.opening import connection
from voicehelper.voice.commands import Command, SpeechChoices
from voicehelper.voice.model import TurnOptions
from voicehelper.voice.outputs import Closed, Output
from voicehelper.voice.session_port import SessionInfo

CONVERSATION = UUID(int=7)


class FakeSession:
    """Keeps commands and sound; `say` gives outputs. Refuses commands of the types in `refuses` with that error."""

    def __init__(self, rate: int = 24_000) -> None:
        self.commands: list[Command] = []
        self.heard = bytearray()
        self.pieces: list[int] = []
        self.refuses: dict[type, Exception] = {}
        self._outputs: asyncio.Queue[Output] = asyncio.Queue()
        self._rate = rate

    @property
    def info(self) -> SessionInfo:
        return SessionInfo(UUID(int=1), CONVERSATION, "token", self._rate, TurnOptions(), SpeechChoices(), 30.0)

    async def audio(self, pcm: bytes) -> None:
        self.heard += pcm
        self.pieces.append(len(pcm))

    async def send(self, command: Command) -> None:
        error = self.refuses.get(type(command))
        if error is not None:
            raise error
        self.commands.append(command)

    async def output(self) -> AsyncIterator[Output]:
        while True:
            output = await self._outputs.get()
            yield output
            if isinstance(output, Closed):
                return

    async def lost(self) -> None:
        raise AssertionError("a connection of the protocol hangs up")

    def say(self, *outputs: Output) -> None:
        for output in outputs:
            self._outputs.put_nowait(output)


class FakeSocket:
    """What the server sends lies in `events` and `closed`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.sound: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.scope: dict[str, Any] = {"type": "websocket", "headers": [], "subprotocols": []}
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def accept(self, subprotocol: str | None) -> None:
        self.closed = None

    async def send_bytes(self, data: bytes) -> None:
        self.sound.append(data)

    async def send_text(self, text: str) -> None:
        self.events.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def client_sends(self, *frames: dict[str, Any] | str | bytes) -> None:
        for frame in frames:
            kind = "bytes" if isinstance(frame, bytes) else "text"
            content = json.dumps(frame) if isinstance(frame, dict) else frame
            self._incoming.put_nowait({"type": "websocket.receive", kind: content})

    def client_leaves(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})


class Line:
    """A connection with both ends in the test's hand."""

    def __init__(self, rate: int = 24_000) -> None:
        self.session = FakeSession(rate)
        self.socket = FakeSocket()
        self.valid = True
        self.connection: Connection | None = None
        self._seen = 0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> "Line":
        made = connection(self.socket, self.session, VoiceSettings(), self._check)  # type: ignore[arg-type]
        self._task = asyncio.create_task(made.run())
        self.created = (await self.news())[0]
        return self

    async def _check(self) -> None:
        return

    async def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def send(self, *frames: dict[str, Any] | str | bytes) -> list[dict[str, Any]]:
        """What follows from frames of the client."""
        self.socket.client_sends(*frames)
        return await self.news()

    async def say(self, *outputs: Output) -> list[dict[str, Any]]:
        """What follows from outputs of the session."""
        self.session.say(*outputs)
        return await self.news()

    async def news(self) -> list[dict[str, Any]]:
        await self.settle()
        seen, self._seen = self._seen, len(self.socket.events)
        return self.socket.events[seen:]

    async def end(self) -> None:
        self.socket.client_leaves()
        assert self._task is not None
        await self._task
