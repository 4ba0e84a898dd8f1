"""PostgreSQL and Valkey for the parts of the proof that run in this process."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.prove.server import wait_until
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.stores.postgres.migrate import migrate


@dataclass(frozen=True)
class EngineUrls:
    postgres: str
    redis: str


@contextmanager
def running_engines(folder: Path) -> Iterator[EngineUrls]:
    """Both on free ports, without fsync, with a migrated database; ended with the block."""
    postgres = EmbeddedPostgres(folder / "postgres", random_port(), "prove", folder / "postgres.log", durable=False)
    valkey = EmbeddedValkey(folder / "valkey", random_port(), "prove", folder / "valkey.log", durable=False)
    running = []
    try:
        for engine in (postgres, valkey):
            engine.prepare()
            running.append(engine.start())
        for engine in (postgres, valkey):
            wait_until(partial(_answers, engine), 30, 0.05)
        asyncio.run(postgres.ensure_database("voicehelper"))
        asyncio.run(migrate(postgres.url("voicehelper")))
        yield EngineUrls(postgres.url("voicehelper"), valkey.url())
    finally:
        for process, sign in zip(running, (signal.SIGQUIT, signal.SIGTERM), strict=False):
            stop(process, sign=sign)


def _answers(engine: EmbeddedPostgres | EmbeddedValkey) -> bool:
    try:
        asyncio.run(engine.check())
    except EngineError:
        return False
    return True
