"""A telephone for the proofs: speaks, listens and plays in real time over `/ws/voice`, and calls again when it is cut.

It follows docs/voice.md and nothing else: what it recorded is kept and sent again from `input_from`, what it played is
told, sound goes on at `output_from`.
"""

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

RATE = 16_000
_FRAME = RATE * 2 // 25  # 40 ms
_LARGEST = _FRAME * 5
_HEADER = struct.Struct("<BBHQ")
_TICK_S = 0.02


@dataclass
class Resume:
    """One broken connection: when, where play stood, and how long until the session went on."""

    at: float
    position: int
    playing: bool
    seconds: float = 0.0
    output_from: int = 0


@dataclass
class Piece:
    """Sound that was played: where on the session's output, and what."""

    sample: int
    pcm: bytes
    acknowledgement: bool


@dataclass
class Caller:
    """A call. Use as an async context manager.

    Attributes:
        start: fields of `session.start`.
        patience_s: how long it tries to resume.
    """

    url: str
    token: str
    start: dict[str, Any] = field(default_factory=dict)
    patience_s: float = 30.0
    events: list[dict[str, Any]] = field(default_factory=list)
    played: list[Piece] = field(default_factory=list)
    resumes: list[Resume] = field(default_factory=list)
    closed: dict[str, Any] | None = None
    lost: str = ""

    async def __aenter__(self) -> "Caller":
        self.facts: dict[str, Any] = {}
        self.rate = 24_000
        self.position = self.generation = 0
        self.held = False
        self._speech: deque[bytes] = deque()
        self._recorded = bytearray()
        self._sent = 0
        self._buffer: deque[Piece] = deque()
        self._news = asyncio.Event()
        self._socket: ClientConnection | None = None
        socket = await self._dial()
        first = {"type": "session.start", "output": {"encoding": "pcm16"}, **self.start}
        await socket.send(json.dumps(first))
        self._tasks = [asyncio.create_task(part) for part in (self._talk(socket), self._record(), self._play())]
        await self.until(lambda: bool(self.facts), 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            with suppress(WebSocketException, OSError, TimeoutError):
                async with asyncio.timeout(3):
                    await self._send({"type": "session.close"})
                    await self.until(lambda: self.closed is not None, 2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what the person does

    def say(self, pcm: bytes) -> None:
        """Speak this (16 kHz PCM), in real time, after what is being said."""
        padded = pcm + bytes(-len(pcm) % _FRAME)
        self._speech.extend(padded[start : start + _FRAME] for start in range(0, len(padded), _FRAME))

    @property
    def speaking(self) -> bool:
        """Whether the person is still speaking."""
        return bool(self._speech)

    @property
    def hearing(self) -> bool:
        """Whether sound of the answer is in the speaker."""
        return bool(self._buffer) and not self.held

    async def send(self, message: dict[str, Any]) -> None:
        """A message of the protocol."""
        await self._send(message)

    async def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Seconds until it held. Raises `TimeoutError`, or `ConnectionError` when the call is lost for good."""
        began = time.monotonic()
        while not condition():
            left = seconds - (time.monotonic() - began)
            if self.lost:
                raise ConnectionError(self.lost)
            if left <= 0:
                raise TimeoutError(f"not within {seconds} s; last: {[e['type'] for e in self.events[-6:]]}")
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(left, 0.1))
        return time.monotonic() - began

    def of(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Events of a type whose fields are these."""
        return [e for e in self.events if e["type"] == kind and all(e.get(k) == v for k, v in fields.items())]

    # -- the connection

    async def _dial(self) -> ClientConnection:
        address = f"{self.url.replace('http', 'ws', 1)}/ws/voice?token={self.token}"
        return await connect(address, max_size=2**22, open_timeout=10, ping_interval=None, proxy=None)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._socket is not None:
            await self._socket.send(json.dumps(message))

    async def _talk(self, socket: ClientConnection) -> None:
        """Serve connections until the call is over."""
        while True:
            self._socket = socket
            sending = asyncio.create_task(self._send_recorded(socket))
            try:
                async for frame in socket:
                    self._take(frame)
            except (WebSocketException, OSError):
                pass
            finally:
                sending.cancel()
                self._socket = None
            if self.closed is not None and not self.closed.get("resumable"):
                return
            self.closed = None
            resume = Resume(time.monotonic(), self.position, self.hearing)
            self.resumes.append(resume)
            try:
                socket = await self._again()
            except ConnectionError as error:
                self.lost = str(error)
                self._news.set()
                return

    async def _again(self) -> ClientConnection:
        began, last = time.monotonic(), "nothing tried"
        while time.monotonic() - began < self.patience_s:
            try:
                socket = await self._dial()
                message = {
                    "type": "session.resume",
                    "resume_token": self.facts["resume_token"],
                    "played": self.position,
                    "output": {"encoding": "pcm16"},
                }
                await socket.send(json.dumps(message))
                async for frame in socket:
                    if isinstance(frame, str):
                        self._take(frame)
                        if json.loads(frame)["type"] == "session.resumed":
                            return socket
                last = f"closed {socket.close_code} {socket.close_reason}"
                if socket.close_code in {4400, 4401, 4403, 4404}:
                    break
            except (WebSocketException, OSError, TimeoutError) as error:
                last = f"{type(error).__name__}: {error}"
            await asyncio.sleep(0.2)
        raise ConnectionError(f"could not be resumed: {last}")

    async def _send_recorded(self, socket: ClientConnection) -> None:
        told_at, told = 0.0, -1
        with suppress(WebSocketException, OSError):
            while True:
                if self.facts and len(self._recorded) - self._sent >= _FRAME:
                    frame = bytes(self._recorded[self._sent : self._sent + _LARGEST])
                    self._sent += len(frame)
                    await socket.send(frame)
                    continue
                if self.position != told and time.monotonic() - told_at >= 0.2:
                    told_at, told = time.monotonic(), self.position
                    await socket.send(json.dumps({"type": "played", "sample": told}))
                await asyncio.sleep(_TICK_S)

    # -- what comes

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            kind, flags, generation, sample = _HEADER.unpack_from(frame)
            assert kind == 1 and not flags & 2, "PCM was asked for"
            known = max(0, self.position - sample) * 2  # played while the session was taken up again
            pcm = frame[_HEADER.size + known :]
            if generation == self.generation % 65536 and pcm:
                self._buffer.append(Piece(sample + known // 2, pcm, bool(flags & 1)))
            return
        event = json.loads(frame)
        event["received"] = time.monotonic()
        self.events.append(event)
        handle = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handle is not None:
            handle(event)
        self._news.set()

    def _on_session_created(self, event: dict[str, Any]) -> None:
        self.facts, self.rate = event, event["output"]["sample_rate"]

    def _on_session_resumed(self, event: dict[str, Any]) -> None:
        resume = self.resumes[-1]
        resume.seconds, resume.output_from = time.monotonic() - resume.at, event["output_from"]
        self._buffer.clear()
        self.held = False
        self.facts, self.generation = {**self.facts, **event}, event["generation"]
        self._sent = event["input_from"] * 2

    def _on_audio_hold(self, _event: dict[str, Any]) -> None:
        self.held = True

    def _on_audio_resume(self, _event: dict[str, Any]) -> None:
        self.held = False

    def _on_audio_stop(self, event: dict[str, Any]) -> None:
        self._buffer.clear()
        self.held, self.generation = False, event["generation"]

    def _on_session_closed(self, event: dict[str, Any]) -> None:
        self.closed = event

    # -- microphone and loudspeaker

    async def _record(self) -> None:
        began, frames = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) / 0.04)
            while frames < due:
                self._recorded += self._speech.popleft() if self._speech else bytes(_FRAME)
                frames += 1
            await asyncio.sleep(_TICK_S)

    async def _play(self) -> None:
        at = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            budget, at = int((now - at) * self.rate), now
            while budget > 0 and self._buffer and not self.held:
                piece = self._buffer.popleft()
                count = min(budget, len(piece.pcm) // 2)
                self.played.append(Piece(piece.sample, piece.pcm[: count * 2], piece.acknowledgement))
                self.position = piece.sample + count
                budget -= count
                if count * 2 < len(piece.pcm):
                    self._buffer.appendleft(Piece(self.position, piece.pcm[count * 2 :], piece.acknowledgement))
