"""A well-behaved call, and whether anybody disturbs it: what it hears comes without a gap."""

import asyncio
import base64
import json
import struct
import time
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_HEADER = struct.Struct("<BBHQ")
_RATE = 24_000
_QUESTION = "退款要多久"
_GAP_S = 0.25
"""A client buffers some hundred milliseconds before it plays: a later frame is a gap."""
_PROMPT_S = 1.0
"""An answer to a trivial message that takes longer says that the server is blocked."""


class Neighbour:
    """Asks by text again and again, plays each answer in real time, and notes when sound came too late.

    Args:
        url: `ws://host:port`.
        path: of the socket.
        token: the credential.
    """

    def __init__(self, url: str, path: str, token: str) -> None:
        self.path = path
        self.heard_something = asyncio.Event()
        self.answers = 0
        self.frames = 0
        self.gaps: list[float] = []
        self.replies: list[float] = []
        self.errors: list[str] = []
        self.during = ""  # what goes on beside it
        self._worst: dict[str, str] = {}
        self._url, self._token = url, token
        self._began: float | None = None
        self._sound_s = 0.0
        self._asked_at = 0.0
        self._sending: list[asyncio.Task[None]] = []

    async def talk(self) -> None:
        """Until cancelled. Raises when the connection ends."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(self._url + self.path, additional_headers=headers, max_size=None) as socket:
            realtime = self.path != "/ws/voice"
            await (self._realtime(socket) if realtime else self._own(socket))

    def figures(self) -> dict[str, Any]:
        """In milliseconds."""
        slowest = max(self.replies, default=0.0)
        return {
            "socket": self.path,
            "answers": self.answers,
            "frames": self.frames,
            "longest_gap_ms": round(max(self.gaps, default=0.0) * 1000),
            "slowest_reply_ms": round(slowest * 1000),
            "during": self._worst,
        }

    def complaints(self) -> list[str]:
        """What disturbed it."""
        found = [f"neighbour on {self.path}: {error}" for error in self.errors]
        if not self.frames:
            found.append(f"neighbour on {self.path} heard nothing")
        if max(self.gaps, default=0.0) > _GAP_S:
            found.append(f"neighbour on {self.path}: a gap of {max(self.gaps) * 1000:.0f} ms")
        if max(self.replies, default=0.0) > _PROMPT_S:
            found.append(f"neighbour on {self.path}: a reply took {max(self.replies) * 1000:.0f} ms")
        return found

    # -- the sockets

    async def _own(self, socket: ClientConnection) -> None:
        await _send(socket, type="session.start", output={"encoding": "pcm16"}, turn_detection={"dead_air_ms": 0})
        await _send(socket, type="text", text=_QUESTION)
        pinging = asyncio.create_task(self._ping(socket, {"type": "ping", "id": "1"}))
        try:
            async for message in socket:
                if isinstance(message, bytes):
                    self._frame((len(message) - _HEADER.size) / 2 / _RATE)
                    continue
                event = json.loads(message)
                await self._note(event, "pong")
                if event["type"] == "audio.clause":
                    self._clause()
                elif event["type"] == "state" and event["state"] == "listening" and self._began is not None:
                    self._ended()
                    await _send(socket, type="text", text=_QUESTION)
        finally:
            pinging.cancel()
        raise ConnectionError(f"closed {socket.close_code}")

    async def _realtime(self, socket: ClientConnection) -> None:
        await self._ask(socket)
        update = {"type": "session.update", "session": {"type": "realtime"}}
        pinging = asyncio.create_task(self._ping(socket, update))
        try:
            async for message in socket:
                event = json.loads(message)
                await self._note(event, "session.updated")
                if event["type"] == "response.output_audio_transcript.delta":
                    self._clause()
                elif event["type"] == "response.output_audio.delta":
                    self._frame(len(base64.b64decode(event["delta"])) / 2 / _RATE)
                elif event["type"] == "response.done":
                    self._ended()
                    await self._ask(socket)
        finally:
            pinging.cancel()
        raise ConnectionError(f"closed {socket.close_code}")

    async def _ask(self, socket: ClientConnection) -> None:
        content = [{"type": "input_text", "text": _QUESTION}]
        await _send(
            socket, type="conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )
        await _send(socket, type="response.create")

    async def _ping(self, socket: ClientConnection, event: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(0.2)
            if not self._asked_at:
                self._asked_at = time.monotonic()
                await _send(socket, **event)

    async def _note(self, event: dict[str, Any], reply: str) -> None:
        if event["type"] == reply and self._asked_at:
            took = time.monotonic() - self._asked_at
            if took > max(self.replies, default=0.0):
                self._worst["reply"] = self.during
            self.replies.append(took)
            self._asked_at = 0.0
        elif event["type"] == "error":
            self.errors.append(str(event)[:200])

    # -- play

    def _clause(self) -> None:
        """A clause begins: how long the synthesiser takes for it is its own affair, unless sound is still playing."""
        if self._began is not None and time.monotonic() - self._began > self._sound_s:
            self._began, self._sound_s = None, 0.0

    def _frame(self, seconds: float) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began, self._sound_s = now, 0.0
        late = now - self._began - self._sound_s
        if late > 0:
            if late > max(self.gaps, default=0.0):
                self._worst["gap"] = self.during
            self.gaps.append(late)
            self._began += late
        self._sound_s += seconds
        self.frames += 1
        self.heard_something.set()

    def _ended(self) -> None:
        self.answers += 1
        self._began, self._sound_s = None, 0.0


async def _send(socket: ClientConnection, **event: Any) -> None:
    await socket.send(json.dumps(event))
