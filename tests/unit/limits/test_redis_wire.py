"""The little of Redis's protocol that scripts need: replies cut anywhere, errors, a server that hangs up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voicehelper.errors import Unavailable
from voicehelper.stores.redis_wire import RefusedByRedis, ScriptRunner, read_reply, write_command


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b":-12\r\n", -12),
        (b"+OK\r\n", b"OK"),
        (b"$3\r\na\r\n\r\n", b"a\r\n"),
        (b"*4\r\n:1\r\n:0\r\n:9\r\n:61000000\r\n", [1, 0, 9, 61000000]),
        (b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n", [[1], b""]),
        (b"*0\r\n", []),
    ],
)
def test_replies_whole_and_cut_anywhere(data: bytes, reply: Any) -> None:
    assert read_reply(b"xx" + data + b":1\r\n", 2) == (reply, 2 + len(data))
    for cut in range(len(data)):
        assert read_reply(data[:cut], 0) is None


def test_errors_are_values() -> None:
    found = read_reply(b"-NOSCRIPT No matching script\r\n", 0)
    assert found is not None
    assert isinstance(found[0], RefusedByRedis)


def test_commands_are_binary_safe() -> None:
    assert (
        write_command([b"SET", b"a\r\n", "退".encode()]) == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$3\r\n\xe9\x80\x80\r\n"
    )


class FakeRedis:
    """Answers each EVALSHA with its last argument, byte by byte; knows no script at first. Can keep silent."""

    def __init__(self) -> None:
        self.connections = 0
        self.loaded = False
        self.silent = False
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while parts := await self._command(reader):
            if not self.silent:
                for byte in self._answer(parts):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)

    async def _command(self, reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        parts = []
        for _ in range(int(head[1:] or 0)):
            size = int((await reader.readline())[1:])
            parts.append((await reader.readexactly(size + 2))[:-2])
        return parts

    def _answer(self, parts: list[bytes]) -> bytes:
        if parts[0] == b"AUTH":
            return b"+OK\r\n" if parts[1:] == [b"me", b"secret"] else b"-WRONGPASS no\r\n"
        if parts[0] == b"SCRIPT":
            self.loaded = True
            return b"$1\r\nx\r\n"
        if not self.loaded:
            return b"-NOSCRIPT No matching script.\r\n"
        return b"*1\r\n:%b\r\n" % parts[-1] if parts[-1].isdigit() else b"-ERR not a number\r\n"


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeRedis, str]]:
    redis = FakeRedis()
    server = await asyncio.start_server(redis.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    yield redis, f"redis://me:secret@127.0.0.1:{port}/0"
    for writer in redis.writers:
        writer.transport.abort()
    server.close()


async def test_many_at_once_get_their_own_answers(fake: tuple[FakeRedis, str]) -> None:
    redis, url = fake
    runner = ScriptRunner(url, "return 1", 5.0)
    answers = await asyncio.gather(*(runner.run(["k"], [number]) for number in range(200)))
    assert answers == [[number] for number in range(200)]
    assert redis.connections == 1
    await runner.close()


async def test_who_is_cancelled_does_not_shift_the_others(fake: tuple[FakeRedis, str]) -> None:
    _, url = fake
    runner = ScriptRunner(url, "return 1", 5.0)
    await runner.run(["k"], [0])
    calls = [asyncio.create_task(runner.run(["k"], [number])) for number in range(10)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert done[1::2] == [[number] for number in range(1, 10, 2)]
    assert await runner.run(["k"], [77]) == [77]
    await runner.close()


async def test_an_outage_is_unavailable_and_ends(fake: tuple[FakeRedis, str]) -> None:
    redis, url = fake
    runner = ScriptRunner(url, "return 1", 0.1)
    await runner.run(["k"], [1])
    redis.silent = True
    waiting = [asyncio.create_task(runner.run(["k"], [number])) for number in range(5)]
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in done)
    redis.silent = False
    assert await runner.run(["k"], [2]) == [2]  # not a late answer to one of those
    redis.writers[-1].transport.abort()
    await asyncio.sleep(0.01)
    assert await runner.run(["k"], [3]) == [3]
    assert redis.connections == 3
    await runner.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://nowhere.invalid/0", "unix:///nowhere/redis.sock"])
async def test_nobody_there(url: str) -> None:
    with pytest.raises(Unavailable):
        await ScriptRunner(url, "return 1", 1.0).run(["k"], [1])


async def test_a_wrong_password_and_an_error_of_the_script_are_unavailable(fake: tuple[FakeRedis, str]) -> None:
    _, url = fake
    with pytest.raises(Unavailable):
        await ScriptRunner(url.replace("secret", "guess"), "return 1", 1.0).run(["k"], [1])
    runner = ScriptRunner(url, "return 1", 1.0)
    with pytest.raises(Unavailable):
        await runner.run(["k"], ["x"])
    assert await runner.run(["k"], [1]) == [1]
    await runner.close()
