"""kill -9 of PostgreSQL and Valkey while documents are uploaded and indexed: all comes back, nothing is lost."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from voicehelper.config import EventSettings
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.errors import VoiceHelperError
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.redis_streams import RedisEventBus, Streams, connect_streams

DOCUMENTS = 40


class Engine:
    """One engine that the test may kill."""

    def __init__(self, engine: EmbeddedPostgres | EmbeddedValkey) -> None:
        self.engine = engine
        engine.prepare()
        self.process = engine.start()

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.engine.check()
                    return
                except EngineError:
                    await asyncio.sleep(0.05)

    async def kill_and_restart(self, pause: float) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        await asyncio.sleep(pause)
        await asyncio.to_thread(self.engine.prepare)
        self.process = self.engine.start()


@pytest.fixture
def own_engines(engine_folder: Path) -> Iterator[Callable[[str], Engine]]:
    started: list[Engine] = []

    def start(kind: str) -> Engine:
        make = {"postgres": EmbeddedPostgres, "valkey": EmbeddedValkey}[kind]
        name = f"killed-{kind}"
        engine = make(engine_folder / name, random_port(), "secret", engine_folder / f"{name}.log")
        started.append(Engine(engine))
        return started[-1]

    yield start
    for item in started:
        stop(item.process)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_every_acknowledged_upload_ends_although_engines_are_killed(
    own_engines: Callable[[str], Engine], tools: Any
) -> None:
    postgres, valkey = own_engines("postgres"), own_engines("valkey")
    await postgres.ready()
    await valkey.ready()
    assert isinstance(postgres.engine, EmbeddedPostgres)
    await postgres.engine.ensure_database("voicehelper")
    await migrate(postgres.engine.url())
    pool = await create_pool(postgres.engine.url())
    house = tools.House(pool, await tools.make_tenant(pool))
    house.kb_id = (await house.service.create_base(house.tenant_id, "手册")).id
    house.reader.delay = 0.05
    bus = RedisEventBus(connect_streams(valkey.engine.url()), EventSettings())
    acknowledged: list[Any] = []

    async def upload() -> None:
        for number in range(DOCUMENTS):
            while True:
                try:
                    added = await house.upload(f"{number}.txt", f"one {number}\ntwo {number}\nthree {number}")
                    break
                except VoiceHelperError as error:
                    assert error.retryable
                    await asyncio.sleep(0.1)
            acknowledged.append(added.document.id)

    async with tools.running(house.full_worker(), house.relay(bus)):
        uploading = asyncio.create_task(upload())
        for pause in (0.0, 1.0):
            await asyncio.sleep(0.5)
            await asyncio.gather(postgres.kill_and_restart(pause), valkey.kill_and_restart(pause))
        await uploading
        for document_id in acknowledged:
            await tools.until(lambda id_=document_id: _indexed(house, id_), 40)
        await tools.until(lambda: _none_left(pool), 20)
    assert len(set(acknowledged)) == DOCUMENTS
    assert await pool.fetchval("SELECT count(*) FROM chunks") == 3 * DOCUMENTS
    assert len(house.keyword.entries) == DOCUMENTS
    async with Redis.from_url(valkey.engine.url(), decode_responses=True, protocol=3) as client:
        names = Streams(EventSettings())
        entries: list[Any] = [await client.xrange(names.stream(number)) for number in names.partitions]
    relayed = {fields["id"] for stream in entries for _, fields in stream}
    relayed |= {str(event.id) for event in house.bus.events}
    outbox = {str(row["id"]) for row in await pool.fetch("SELECT id FROM outbox WHERE type = 'document.indexed'")}
    assert outbox <= relayed
    await bus.close()
    await house.wakeups.close()
    pool.terminate()


async def _indexed(house: Any, document_id: Any) -> bool:
    try:
        return bool((await house.document(document_id)).status == "indexed")
    except VoiceHelperError:
        return False


async def _none_left(pool: Any) -> bool:
    return not await pool.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)")
