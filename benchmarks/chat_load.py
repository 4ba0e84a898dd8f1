"""Load on `/v1/chat/completions`, from a process of its own: connections that stay open, each sends its next request
when the last answer is complete. Standard input has what to do, standard output what came of it, both JSON.

    echo '{"port": 8000, "key": "sk-...", "model": "m", "stream": true, "clients": 8, "seconds": 2}' |
        python -m benchmarks.chat_load
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import uvloop

QUESTION = "How long does a refund take, and what do I have to do for it?"
_END_OF_STREAM = b"0\r\n\r\n"


@dataclass
class Told:
    """What to do: `requests` of each client at most, 0 for as many as fit in `seconds`."""

    port: int
    key: str
    model: str
    stream: bool
    clients: int
    seconds: float
    requests: int = 0
    max_tokens: int = 64


@dataclass
class Found:
    """Milliseconds of every request, of the first byte of its body, and what went wrong: count by status, or 0 for a
    connection or an answer that ended too early."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    example: str = ""


class Client(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self, content: bytes, told: Told, end: float, found: Found, finished: "asyncio.Future[None]") -> None:
        self._content, self._told, self._found, self._finished = content, told, found, finished
        self._end, self._count = end, 0
        self._transport: Any = None
        self._received = bytearray()
        self._started = self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's."""
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._received.clear()
        self._first = 0.0
        self._count += 1
        self._started = time.perf_counter()
        self._transport.write(self._content)

    def data_received(self, data: bytes) -> None:
        """Asyncio's."""
        received = self._received
        received += data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        if not self._first and len(received) > head + 4:
            self._first = time.perf_counter()
        if self._complete(head):
            self._note(head)

    def _complete(self, head: int) -> bool:
        """Whether the answer is all there; its head ends at `head`."""
        lower = bytes(self._received[:head]).lower()
        _, named, rest = lower.partition(b"content-length:")
        if named:
            return len(self._received) >= head + 4 + int(rest.partition(b"\r\n")[0])
        return self._received.endswith(_END_OF_STREAM)

    def _note(self, head: int) -> None:
        now, status = time.perf_counter(), int(self._received[9:12])
        whole = status == 200 and (not self._told.stream or b"data: [DONE]" in self._received)
        if whole:
            self._found.latencies.append((now - self._started) * 1000)
            self._found.first_bytes.append((self._first - self._started) * 1000)
        else:
            self._fail(0 if status == 200 else status, bytes(self._received[head + 4 :]))
        if now < self._end and self._count != self._told.requests:
            self._send()
        else:
            self._leave()

    def _fail(self, status: int, body: bytes) -> None:
        self._found.failures[status] = self._found.failures.get(status, 0) + 1
        self._found.example = self._found.example or f"{status} {body[:300].decode(errors='replace')}"

    def _leave(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Asyncio's: before its time, the request has failed."""
        if not self._finished.done():
            self._fail(0, b"the connection was closed")
            self._finished.set_result(None)


def content_of(told: Told) -> bytes:
    """The bytes of one request."""
    body = {
        "model": told.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": told.max_tokens,
        "stream": told.stream,
    }
    encoded = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{told.port}\r\nauthorization: Bearer {told.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def _itself(client: Client) -> Client:
    return client


async def load(told: Told) -> Found:
    """The whole round; its time is until the last answer."""
    found, loop = Found(), asyncio.get_running_loop()
    started = time.perf_counter()
    content, end = content_of(told), started + told.seconds
    waiting = []
    for _ in range(told.clients):
        finished: asyncio.Future[None] = loop.create_future()
        waiting.append(finished)
        client = Client(content, told, end, found, finished)
        await loop.create_connection(partial(_itself, client), "127.0.0.1", told.port)
    await asyncio.gather(*waiting)
    found.seconds = time.perf_counter() - started
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(load(Told(**json.load(sys.stdin)))))))
