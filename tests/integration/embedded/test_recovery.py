"""kill -9 under load: the engines come back by themselves with everything that was acknowledged."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio
from redis.exceptions import RedisError

from voicehelper.embedded.component import EngineComponent
from voicehelper.embedded.instance import MARK
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.supervisor import Supervisor, sweep
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.ports.clock import SystemClock

BACK_WITHIN_S = 15.0


@dataclass
class Running:
    """A supervisor over durable engines of its own."""

    home: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey

    def record(self, name: str) -> dict[str, object]:
        records = json.loads((self.home / "status.json").read_text())["components"]
        return next(dict(record) for record in records if record["name"] == name)

    def pid(self, name: str) -> int:
        return int(str(self.record(name)["pid"]))


@pytest.fixture
async def running(engine_folder: Path) -> AsyncIterator[Running]:
    home = engine_folder / f"recovery-{random_port()}"
    home.mkdir(mode=0o755)
    postgres = EmbeddedPostgres(home / "postgres", random_port(), "pw", home / "postgres.log")
    valkey = EmbeddedValkey(home / "valkey", random_port(), "pw", home / "valkey.log")
    environment = {**os.environ, MARK: str(home)}
    parts = [EngineComponent(postgres, environment), EngineComponent(valkey, environment)]
    supervisor = Supervisor(parts, home / "status.json", home, SystemClock())
    task = asyncio.create_task(supervisor.run())
    found = Running(home, postgres, valkey)
    try:
        await until(lambda: found.record("postgres")["state"] == found.record("valkey")["state"] == "ready", 60)
        yield found
    finally:
        supervisor.stop()
        await task
        assert sweep(home) == 0, "the supervisor left processes behind"


async def until(condition: Callable[[], object], timeout: float) -> float:
    """Seconds until the condition held (an unreadable status file counts as not yet)."""
    begun = time.monotonic()
    while True:
        with contextlib.suppress(FileNotFoundError):
            if condition():
                return time.monotonic() - begun
        assert time.monotonic() - begun < timeout, f"not within {timeout} s"
        await asyncio.sleep(0.02)


async def write_until_stopped(
    write: Callable[[int], Awaitable[None]], stop: asyncio.Event, failures: tuple[type[Exception], ...]
) -> list[int]:
    """Write 0, 1, 2 ...; returns those that were acknowledged. A failed write is not repeated."""
    acknowledged = []
    number = 0
    while not stop.is_set():
        try:
            await write(number)
            acknowledged.append(number)
        except failures:
            await asyncio.sleep(0.05)
        number += 1
    return acknowledged


async def test_postgres_comes_back_with_every_acknowledged_row(running: Running) -> None:
    url = running.postgres.url("postgres")
    admin = await asyncpg.connect(url)
    await admin.execute("CREATE TABLE kept (n int PRIMARY KEY)")
    await admin.close()

    async def write(number: int) -> None:
        connection = await asyncpg.connect(url, timeout=2)
        try:
            await connection.execute("INSERT INTO kept VALUES ($1)", number)
        finally:
            await connection.close(timeout=2)

    stop = asyncio.Event()
    failures = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
    writer = asyncio.create_task(write_until_stopped(write, stop, failures))
    await asyncio.sleep(0.5)
    first = running.pid("postgres")
    os.kill(first, signal.SIGKILL)
    await until(lambda: running.record("postgres")["pid"] not in (None, first), BACK_WITHIN_S)
    await until(lambda: running.record("postgres")["state"] == "ready", BACK_WITHIN_S)
    await asyncio.sleep(0.5)
    stop.set()
    acknowledged = await writer
    connection = await asyncpg.connect(url)
    stored = {row["n"] for row in await connection.fetch("SELECT n FROM kept")}
    await connection.close()
    assert len(acknowledged) > 10
    assert set(acknowledged) <= stored


async def test_valkey_comes_back_with_every_acknowledged_entry(running: Running) -> None:
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(running.valkey.url(), protocol=2, socket_timeout=2)
    stop = asyncio.Event()

    async def write(number: int) -> None:
        await client.xadd("kept", {"n": number})

    writer = asyncio.create_task(write_until_stopped(write, stop, (OSError, RedisError)))
    await asyncio.sleep(0.5)
    first = running.pid("valkey")
    os.kill(first, signal.SIGKILL)
    await until(lambda: running.record("valkey")["pid"] not in (None, first), BACK_WITHIN_S)
    await until(lambda: running.record("valkey")["state"] == "ready", BACK_WITHIN_S)
    await asyncio.sleep(0.5)
    stop.set()
    acknowledged = await writer
    entries: list[tuple[bytes, dict[bytes, bytes]]] = await client.xrange("kept")  # type: ignore[assignment]
    stored = {int(fields[b"n"]) for _, fields in entries}
    await client.aclose()
    assert len(acknowledged) > 10
    assert set(acknowledged) <= stored


@pytest.mark.slow
async def test_a_hung_postgres_is_replaced(running: Running) -> None:
    first = running.pid("postgres")
    os.kill(first, signal.SIGSTOP)
    await until(lambda: running.record("postgres")["pid"] not in (None, first), 30)
    await until(lambda: running.record("postgres")["state"] == "ready", BACK_WITHIN_S)
    assert running.record("postgres")["restarts"] == 1


async def test_a_lock_file_naming_a_stranger_does_not_hinder_the_start(running: Running) -> None:
    """After kill -9, postmaster.pid may name a pid that now belongs to another process of the same account."""
    account = running.postgres.account
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=account.uid if account else None)
    try:
        first = running.pid("postgres")
        os.kill(first, signal.SIGKILL)
        lock = running.postgres.data / "postmaster.pid"
        lock.write_text(lock.read_text().replace(str(first), str(stranger.pid), 1))
        await until(lambda: running.record("postgres")["pid"] not in (None, first), BACK_WITHIN_S)
        await until(lambda: running.record("postgres")["state"] == "ready", BACK_WITHIN_S)
        assert psutil.pid_exists(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()
