"""Clients that send what they should not, on both sockets, beside two that behave.

    python -m tests.prove.voice_fuzz http://127.0.0.1:8000 TOKEN [strings] [seed]

Whatever is sent, the answer is an error event or a close with a code of its own, never a crash; and the calls beside it
are heard without a gap.
"""

import asyncio
import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from tests.prove.voice_neighbour import Neighbour

SOCKETS = ("/ws/voice", "/v1/realtime")
CRASHES = {1006, 1011, 4500}
"""Close codes that say that something broke: no close frame at all, and our own failure."""
_PER_CONNECTION = 150
_AT_ONCE = 2


@dataclass
class Fuzzed:
    """What happened.

    Attributes:
        sent: events and strings that should not have been sent.
        errors: error events that came back.
        closes: close codes, counted, by attack.
        wrong: what was neither a clear error nor a clean close.
        neighbours: of each well-behaved call: what it heard, and the longest gap.
    """

    sent: int = 0
    errors: int = 0
    closes: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything was answered, and nobody disturbed."""
        return not self.wrong and self.errors > 0

    def closed(self, attack: str, code: int | None) -> None:
        """A connection of an attack ended."""
        number = 1006 if code is None else int(code)
        self.closes.setdefault(attack, Counter())[number] += 1
        # Who floods may find no end to what he sent himself: then it is he who gives up.
        if number in CRASHES and not (number == 1006 and attack.endswith("flood")):
            self.wrong.append(f"{attack}: closed {number}")


class Fuzz:
    """Attacks on one server.

    Args:
        base_url: `http://host:port`.
        token: an access token or API key that may talk.
        seed: of everything that is random.
    """

    def __init__(self, base_url: str, token: str, seed: int) -> None:
        self.result = Fuzzed()
        self._url = base_url.replace("http", "ws", 1)
        self._token = token
        self._random = random.Random(seed)

    async def run(self, strings: int, flood_s: float) -> Fuzzed:
        """All attacks on both sockets, neighbours beside them."""
        started = time.monotonic()
        async with self._neighbours() as neighbours:
            for path in SOCKETS:
                _beside(neighbours, f"{path} strings")
                await self._strings(path, strings // len(SOCKETS))
                for attack in (self._events, self._frames, self._sizes, self._flood, self._deaf, self._silent):
                    _beside(neighbours, f"{path} {attack.__name__}")
                    await self._guarded(path, attack, flood_s)
        self.result.seconds = round(time.monotonic() - started, 1)
        return self.result

    @asynccontextmanager
    async def _neighbours(self) -> AsyncIterator[list[Neighbour]]:
        neighbours = [Neighbour(self._url, path, self._token) for path in SOCKETS]
        calls = [asyncio.create_task(neighbour.talk()) for neighbour in neighbours]
        try:
            for neighbour in neighbours:
                async with asyncio.timeout(60):
                    await neighbour.heard_something.wait()
            yield neighbours
            await asyncio.sleep(0.5)
        finally:
            for neighbour, call in zip(neighbours, calls, strict=True):
                if call.done():
                    self.result.wrong.append(f"neighbour on {neighbour.path} ended: {call.exception()}")
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            for neighbour in neighbours:
                self.result.neighbours.append(neighbour.figures())
                self.result.wrong += neighbour.complaints()

    # -- attacks

    async def _guarded(
        self, path: str, attack: Callable[[str, float], Coroutine[Any, Any, None]], flood_s: float
    ) -> None:
        name = f"{path}{attack.__name__}"
        try:
            async with asyncio.timeout(60 + 4 * flood_s):
                await attack(path, flood_s)
        except (TimeoutError, OSError, InvalidMessage) as error:
            self.result.wrong.append(f"{name}: {type(error).__name__} {error}")

    async def _strings(self, path: str, number: int) -> None:
        """Random bytes, as text and as binary frames, some cut out of real events."""
        rounds = [min(_PER_CONNECTION, number - start) for start in range(0, number, _PER_CONNECTION)]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(size: int) -> None:
            async with turns, self._open(path, f"{path} strings") as socket:
                for _ in range(size):
                    self.result.sent += 1
                    await socket.send(self._string(path))

        await asyncio.gather(*(one(size) for size in rounds))

    def _string(self, path: str) -> str | bytes:
        kind = self._random.randrange(4)
        noise = self._random.randbytes(self._random.choice((0, 1, 3, 17, 200, 1501)))
        if kind == 0:
            return noise
        if kind == 1:
            return noise.decode("latin-1")
        whole = json.dumps(self._random.choice(EVENTS[path]))
        if kind == 2:  # cut short
            return whole[: self._random.randrange(len(whole))]
        place = self._random.randrange(len(whole))
        return whole[:place] + noise[:3].decode("latin-1") + whole[place + 1 :]

    async def _events(self, path: str, _: float) -> None:
        """Events that are well-formed and wrong: rates, kinds, values, depths."""
        async with self._open(path, f"{path} events") as socket:
            before = self.result.errors
            for event in WRONG[path]:
                self.result.sent += 1
                await socket.send(json.dumps(event))
            await _until(lambda: self.result.errors - before >= len(WRONG[path]), 10)
            if self.result.errors - before < len(WRONG[path]):
                missing = len(WRONG[path]) - self.result.errors + before
                self.result.wrong.append(f"{path}: {missing} wrong events were not answered by an error")

    async def _frames(self, path: str, _: float) -> None:
        """Frames that break the WebSocket protocol itself."""
        for name, data in BROKEN_FRAMES.items():
            async with self._open(path, f"{path} frame: {name}") as socket:
                self.result.sent += 1
                socket.transport.write(data)
                with suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await socket.wait_closed()

    async def _sizes(self, path: str, _: float) -> None:
        """Too much at once."""
        for size in (6 * 2**20, 20 * 2**20):
            for frame in (
                "x" * size,
                bytes(size),
                json.dumps({"type": "input_audio_buffer.append", "audio": "A" * size}),
            ):
                async with self._open(path, f"{path} size") as socket:
                    self.result.sent += 1
                    await socket.send(frame)
                    await asyncio.sleep(0.3)

    async def _flood(self, path: str, flood_s: float) -> None:
        """Sound, and small events, as fast as the line takes them."""
        for frames in FLOODS[path]:
            async with self._open(path, f"{path} flood", 1.0) as socket:
                until = time.monotonic() + flood_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(flood_s):  # the server may read slowly, or not at all
                        while time.monotonic() < until:
                            await socket.send(frames)
                            self.result.sent += 1
                            await asyncio.sleep(0)

    async def _deaf(self, path: str, flood_s: float) -> None:
        """Somebody who asks, and never reads the answers."""
        headers = {"Authorization": f"Bearer {self._token}"}
        socket = await connect(self._url + path, additional_headers=headers, max_queue=1, compression=None)
        try:
            with suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(flood_s):
                    while True:
                        await socket.send(json.dumps(PINGS[path]))
                        await asyncio.sleep(0)
        finally:
            socket.transport.abort()

    async def _silent(self, path: str, flood_s: float) -> None:
        """Somebody who says nothing at all; and who leaves in the middle of a frame."""
        async with self._open(path, f"{path} silence"):
            await asyncio.sleep(min(flood_s, 2.0))
        for data in (b"\x81", b"\x82\xff\x00", b""):
            headers = {"Authorization": f"Bearer {self._token}"}
            socket = await connect(self._url + path, additional_headers=headers)
            socket.transport.write(data)
            socket.transport.abort()

    # -- connections

    @asynccontextmanager
    async def _open(self, path: str, attack: str, patience: float = 5.0) -> AsyncIterator[ClientConnection]:
        """A connection with a session; what comes back is counted, and how it ends."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            self._url + path, additional_headers=headers, max_size=None, close_timeout=patience
        ) as socket:
            reading = asyncio.create_task(self._read(socket))
            try:
                if path == "/ws/voice":
                    await socket.send(json.dumps({"type": "session.start", "output": {"encoding": "pcm16"}}))
                yield socket
                await self._settle(socket, path, patience)
            except ConnectionClosed:
                pass
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(2 * patience):
                        await socket.close()
                await asyncio.gather(reading, return_exceptions=True)
                self.result.closed(attack, socket.close_code)

    async def _settle(self, socket: ClientConnection, path: str, patience: float) -> None:
        """Hang up as one should, so that no session waits for us."""
        await asyncio.sleep(0.05)
        if path == "/ws/voice":
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await socket.send('{"type":"session.close"}')
                    await socket.wait_closed()

    async def _read(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in socket:
                if isinstance(message, str) and json.loads(message)["type"] == "error":
                    self.result.errors += 1


def _beside(neighbours: list[Neighbour], attack: str) -> None:
    for neighbour in neighbours:
        neighbour.during = attack


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _append(**more: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(960)).decode(), **more}


def _update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def _format(direction: str, **kind: Any) -> dict[str, Any]:
    return _update(audio={direction: {"format": kind}})


def _deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


EVENTS: dict[str, list[dict[str, Any]]] = {
    "/v1/realtime": [
        _append(),
        _update(audio={"input": {"turn_detection": {"type": "server_vad"}}}),
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1},
        {"type": "response.cancel"},
    ],
    "/ws/voice": [
        {"type": "session.update", "language": "zh"},
        {"type": "played", "sample": 10},
        {"type": "input.commit"},
        {"type": "input.clear"},
        {"type": "interrupt"},
        {"type": "ping", "id": "1"},
    ],
}
WRONG: dict[str, list[Any]] = {
    "/v1/realtime": [
        _format("input", type="audio/pcm", rate=16000),
        _format("input", type="audio/pcm", rate=-1),
        _format("output", type="audio/pcm", rate="fast"),
        _format("output", type="audio/mp3"),
        _append(audio="***"),
        _append(audio="QUJ"),
        _append(audio=7),
        _append(rate=16000),
        {"type": "conversation.item.create", "item": _deep(50)},
        {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": None}},
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": -1, "audio_end_ms": 10**30},
        {"type": "response.create", "response": {"metadata": {str(n): "x" for n in range(50)}}},
        {"type": "response.create"},
        {"type": "response.cancel", "response_id": "\ud800"},
        {"type": "session.created"},
        {"type": None},
        {"type": {"a": 1}},
        {},
        [],
        "text",
        None,
        1e400,
    ],
    "/ws/voice": [
        {"type": "session.start", "input": {"encoding": "pcm16", "sample_rate": 11025}},
        {"type": "session.start"},
        {"type": "session.update", "speed": 99},
        {"type": "session.update", "language": "tlh"},
        {"type": "session.update", "turn_detection": {"min_silence_ms": -5}},
        {"type": "played", "sample": -1},
        {"type": "played", "sample": 2**70},
        {"type": "played", "sample": "far"},
        {"type": "text", "text": ""},
        {"type": "text", "text": "x" * 100_000},
        {"type": "text", "text": _deep(50)},
        {"type": "nonsense"},
        {"type": None},
        {},
        [],
        "text",
        None,
    ],
}
BROKEN_FRAMES = {
    "unmasked": b"\x81\x05hello",
    "reserved bits": b"\xf1\x80\x00\x00\x00\x00",
    "unknown opcode": b"\x83\x80\x00\x00\x00\x00",
    "fragmented ping": b"\x09\x80\x00\x00\x00\x00",
    "not UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xfe",
    "length of 2**63": b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
    "continuation of nothing": b"\x80\x80\x00\x00\x00\x00",
}
FLOODS: dict[str, list[Any]] = {
    "/v1/realtime": [
        json.dumps(_append(audio=base64.b64encode(bytes(48_000)).decode())),
        json.dumps(_update(audio={"output": {"speed": 1.0}})),
    ],
    "/ws/voice": [bytes(6400), '{"type":"ping","id":"1"}'],
}
PINGS = {"/v1/realtime": _update(), "/ws/voice": {"type": "ping", "id": "x" * 60}}


async def fuzz(base_url: str, token: str, *, strings: int = 10_000, flood_s: float = 3.0, seed: int = 1) -> Fuzzed:
    """Attack the server with `strings` random strings and everything else, beside two calls that behave."""
    return await Fuzz(base_url, token, seed).run(strings, flood_s)


if __name__ == "__main__":
    url, credential, *rest = sys.argv[1:]
    numbers = [int(word) for word in rest]
    done = asyncio.run(
        fuzz(url, credential, strings=numbers[0] if numbers else 10_000, seed=numbers[1] if numbers[1:] else 1)
    )
    shown = {**vars(done), "closes": {attack: dict(codes) for attack, codes in done.closes.items()}}
    print(json.dumps({"ok": done.ok, **shown}, ensure_ascii=False, indent=2))
    sys.exit(0 if done.ok else 1)
