"""Load on an HTTP server without a client library in the way: connections that stay open, requests as bytes, answers
read by their Content-Length. One process makes thousands of requests per second and measures little of itself."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_LONGEST_HEAD = 2**16


@dataclass
class Measured:
    """Latencies in milliseconds of all requests of a round, what went wrong, and the server's CPU time, which whoever
    measures it fills in."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def add(self, other: "Measured") -> None:
        """Count `other` in: another round of the same."""
        self.seconds += other.seconds
        self.cpu_s += other.cpu_s
        self.latencies += other.latencies
        for status, count in other.failures.items():
            self.failures[status] = self.failures.get(status, 0) + count


def request(method: str, path: str, token: str, body: Any = None) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: bench", f"authorization: Bearer {token}"]
    if content:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


async def load(port: int, clients: int, seconds: float, make: Callable[[int], bytes]) -> Measured:
    """`clients` connections send what `make(client)` gives, one request after the other, for `seconds`."""
    found = Measured(0.0)
    end = time.perf_counter() + seconds
    started = time.perf_counter()
    await asyncio.gather(*(_client(port, make, number, end, found) for number in range(clients)))
    found.seconds = time.perf_counter() - started
    return found


async def call(port: int, what: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(what)
        return await _answer(reader)
    finally:
        writer.close()


async def _client(port: int, make: Callable[[int], bytes], number: int, end: float, found: Measured) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST_HEAD)
    try:
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(make(number))
            status, _ = await _answer(reader)
            if status < 300:
                found.latencies.append((time.perf_counter() - started) * 1000)
            else:
                found.failures[status] = found.failures.get(status, 0) + 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return int(head[9:12]), await reader.readexactly(length)
