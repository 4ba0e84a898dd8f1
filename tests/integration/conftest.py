"""Real engines for the tests: started once per session, a fresh migrated database per test."""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import redis

from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool

TEMPLATE = "voicehelper_template"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Engines:
    """The session's servers."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey


def wait_ready(engine: EmbeddedPostgres | EmbeddedValkey, timeout: float = 30.0) -> None:
    """Poll until the engine answers."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            asyncio.run(engine.check())
            return
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    """A folder that every account may enter (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="voicehelper-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def engines(engine_folder: Path) -> Iterator[Engines]:
    """PostgreSQL and Valkey on free ports, without fsync."""
    postgres = EmbeddedPostgres(
        engine_folder / "postgres", random_port(), "test-password", engine_folder / "postgres.log", durable=False
    )
    valkey = EmbeddedValkey(
        engine_folder / "valkey", random_port(), "test-password", engine_folder / "valkey.log", durable=False
    )
    running = []
    try:
        for engine in (postgres, valkey):
            engine.prepare()
            running.append(engine.start())
        for engine in (postgres, valkey):
            wait_ready(engine)
        asyncio.run(postgres.ensure_database(TEMPLATE))
        asyncio.run(migrate(postgres.url(TEMPLATE)))
        yield Engines(postgres, valkey)
    finally:
        for process in running:
            stop(process, sign=signal.SIGQUIT if process is running[0] else signal.SIGTERM)


@pytest.fixture
async def postgres_dsn(engines: Engines) -> AsyncIterator[str]:
    """URL of a fresh migrated database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = await asyncpg.connect(engines.postgres.url("postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        yield engines.postgres.url(name)
        with suppress(asyncpg.PostgresError):
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    """A pool on the test's own database."""
    pool = await create_pool(postgres_dsn, min_size=1, max_size=8)
    yield pool
    await asyncio.wait_for(pool.close(), 10)


@pytest.fixture
def redis_url(engines: Engines) -> str:
    """URL of Valkey, emptied."""
    with redis.Redis.from_url(engines.valkey.url()) as client:
        client.flushall()
    return engines.valkey.url()
