"""One connection to Redis for a script that every request runs.

Calls are written as they come and answered in order, without waiting for each other: Redis's own pipelining. A call
costs about a third of what the general client takes for it, and a fifth where many come at once, because there is no
pool to take a connection from, and no protocol to read but the little that such scripts answer with.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url

from voicehelper.errors import Unavailable
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

Reply = int | bytes | list[Any] | Exception


class RefusedByRedis(Exception):
    """An error reply."""


class ScriptRunner:
    """Runs one script whose replies are numbers or lists of them. Connects at first use, and again when it must."""

    def __init__(self, url: str, script: str, timeout_s: float) -> None:
        """`timeout_s`: of a call, connecting included."""
        self._url = url
        self._script = script.encode()
        self._sha = sha1(self._script, usedforsecurity=False).hexdigest().encode()
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    async def run(self, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """The script's reply. Raises `Unavailable` when there is none in time."""
        texts = [str(len(keys)), *keys, *map(str, arguments)]
        command = [b"EVALSHA", self._sha, *(text.encode() for text in texts)]
        wire = self._wire
        try:
            async with asyncio.timeout(self._timeout_s):
                if wire is None or wire.lost:
                    wire = await self._connected()
                try:
                    return await wire.ask(command)
                except RefusedByRedis as error:
                    if not str(error).startswith("NOSCRIPT"):
                        raise
                await wire.ask([b"SCRIPT", b"LOAD", self._script])
                return await wire.ask(command)
        except (OSError, TimeoutError, RefusedByRedis) as error:
            if wire is not None:  # what was not answered by now must not be taken for the answer to something else
                wire.hang_up()
            raise Unavailable("Redis is not available") from error

    async def close(self) -> None:
        """Hang up; the next call connects again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.hang_up()

    async def _connected(self) -> "_Wire":
        async with self._connecting:
            if self._wire is None or self._wire.lost:
                self._wire = await _connect(self._url)
            return self._wire


class _Wire(asyncio.Protocol):
    """A connection: commands out, replies in the same order back."""

    def __init__(self) -> None:
        self.lost = True
        self._transport: Any = None
        self._received = b""
        self._waiting: deque[asyncio.Future[Reply]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.lost = transport, False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionResetError("Redis hung up"))

    def data_received(self, data: bytes) -> None:
        data, at = self._received + data, 0
        while self._waiting and (found := read_reply(data, at)) is not None:
            reply, at = found
            answer = self._waiting.popleft()
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)
        self._received = data[at:]

    async def ask(self, command: Sequence[bytes]) -> Reply:
        """The reply. Raises `RefusedByRedis` for an error, `OSError` when the connection is lost."""
        if self.lost:
            raise ConnectionResetError("Redis hung up")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(write_command(command))
        return await answer

    def hang_up(self) -> None:
        """Whoever waits for a reply gets `ConnectionResetError`."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()


async def _connect(url: str) -> _Wire:
    """A connection that has logged in and chosen its database."""
    options: dict[str, Any] = dict(parse_url(url))
    loop = asyncio.get_running_loop()
    if "path" in options:
        _, wire = await loop.create_unix_connection(_Wire, options["path"])
    else:
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        _, wire = await loop.create_connection(_Wire, host, port, ssl=_tls(options))
    try:
        if options.get("password"):
            user = [options["username"].encode()] if options.get("username") else []
            await wire.ask([b"AUTH", *user, options["password"].encode()])
        if options.get("db"):
            await wire.ask([b"SELECT", str(options["db"]).encode()])
    except BaseException:
        wire.hang_up()
        raise
    return wire


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    """For `rediss://`, with the options `ssl_ca_certs` and `ssl_cert_reqs=none` that the general client knows."""
    if options.get("connection_class") is not SSLConnection:
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def write_command(parts: Sequence[bytes]) -> bytes:
    """A command in RESP2."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def read_reply(data: bytes, at: int) -> tuple[Reply, int] | None:
    """The RESP2 reply that begins at `at` and where the next one begins; None while it is incomplete.

    https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, text, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b":":
        return int(text), after
    if kind == b"*":
        return _read_list(data, int(text), after)
    if kind == b"-":
        return RefusedByRedis(text.decode("utf-8", "replace")), after
    if kind == b"$":
        size = int(text)
        return (data[after : after + size], after + size + 2) if len(data) >= after + size + 2 else None
    return text, after


def _read_list(data: bytes, count: int, at: int) -> tuple[Reply, int] | None:
    items: list[Any] = []
    for _ in range(count):
        found = read_reply(data, at)
        if found is None:
            return None
        item, at = found
        items.append(item)
    return items, at
