"""A caller: sends a recording in real time and notes when what comes back came. Knows both servers' frames."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

RATE_IN = 16_000
RATE_OUT = 24_000
FRAME_MS = 20
_FRAME_BYTES = RATE_IN * FRAME_MS // 1000 * 2
_START = (
    '{"type": "session.start", "language": "en", "input": {"encoding": "pcm16", "sample_rate": 16000},'
    ' "output": {"encoding": "pcm16"}}'
)


@dataclass(frozen=True)
class Server:
    """`header`: bytes before the sound in each of its frames. `opening`: what a client says first."""

    name: str
    url: str
    header: int = 0
    opening: str = ""


def ours(port: int) -> Server:
    """`/ws/voice`."""
    return Server("ours", f"ws://127.0.0.1:{port}/ws", 12, _START)


def pipecat(port: int, name: str = "Pipecat") -> Server:
    """Bare PCM."""
    return Server(name, f"ws://127.0.0.1:{port}/ws")


@dataclass
class Call:
    """What happened, in seconds of this machine's clock.

    Attributes:
        began: when the first sample of the recording was sent (or would have been).
        sounds: when each of the server's frames came, and its samples.
        texts: when each of its messages came.
        late: how much later than its time each of our frames was sent.
    """

    began: float = 0.0
    sounds: list[tuple[float, int]] = field(default_factory=list)
    texts: list[tuple[float, str]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def sent_at(self, sample: int) -> float:
        """When the frame that ends with this sample was to be sent: when somebody had said it."""
        frames = -(-sample * 2 // _FRAME_BYTES)
        return self.began + frames * FRAME_MS / 1000


async def call(server: Server, pcm: bytes) -> Call:
    """Say `pcm`, in frames that are sent when they have been spoken, and hang up."""
    record = Call()
    async with connect(server.url, max_size=None, compression=None, proxy=None) as socket:
        if server.opening:
            await socket.send(server.opening)
        listening = asyncio.create_task(_listen(socket, server, record))
        await asyncio.sleep(0.3)  # both have their pipelines up by then
        record.began = time.perf_counter()
        for number, frame in enumerate(_frames(pcm), start=1):
            wait = record.began + number * FRAME_MS / 1000 - time.perf_counter()
            record.late.append(-min(wait, 0.0))
            await asyncio.sleep(max(wait, 0.0))
            await socket.send(frame)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return record


async def _listen(socket: ClientConnection, server: Server, record: Call) -> None:
    async for message in socket:
        now = time.perf_counter()
        if isinstance(message, bytes):
            record.sounds.append((now, (len(message) - server.header) // 2))
        else:
            record.texts.append((now, message))


def _frames(pcm: bytes) -> Iterator[bytes]:
    return (pcm[at : at + _FRAME_BYTES] for at in range(0, len(pcm), _FRAME_BYTES))
