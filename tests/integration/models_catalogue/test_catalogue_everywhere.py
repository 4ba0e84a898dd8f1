"""Every replica has a change within 5 seconds: told, untold, and over the death of the database."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from deployments.catalogue import live_catalogue
from deployments.wiring import Nodes
from tests.fakes.models import FakeResolver
from tests.integration.conftest import wait_ready
from voicehelper.config import ChatSettings, Settings
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import stop
from voicehelper.errors import Conflict, NotFound
from voicehelper.identity.secrets import SecretBox
from voicehelper.ids import new_id
from voicehelper.models.catalogue import LiveCatalogue
from voicehelper.models.catalogue_service import CatalogueService
from voicehelper.models.local import local_entry
from voicehelper.models.model import ModelEntry, ModelLimits, Price
from voicehelper.stores.postgres.models import PostgresModels
from voicehelper.stores.postgres.models_feed import PostgresModelFeed
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.wakeups import Wakeups

PROMISE_S = 5.0
BOX = SecretBox(b"m" * 32, "model-keys")
OWN = local_entry(ChatSettings(model="local-model"))
A, B = UUID(int=0xA), UUID(int=0xB)


def entry(name: str, tenant_id: UUID | None = None) -> ModelEntry:
    return ModelEntry(
        id=new_id(),
        name=name,
        provider="qwen",
        remote="qwen-plus-latest",
        tenant_id=tenant_id,
        capabilities=frozenset({"stream", "tools"}),
        context_tokens=131072,
        max_output_tokens=8192,
        price=Price(400_000, 1_200_000, 160_000, 5),
        limits=ModelLimits(600, 1_000_000, 20),
        quality=4,
        speed=2,
        fallbacks=("other", "third"),
        options={"enable_thinking": False, "body": {"x": [1, None]}},
    )


@asynccontextmanager
async def replica(pool: Pool, refresh_s: float) -> AsyncIterator[LiveCatalogue]:
    """A catalogue that follows the table, as a process of its own would."""
    live, wakeups = LiveCatalogue(OWN, BOX, {}, refresh_s=refresh_s), Wakeups(pool)
    following = asyncio.create_task(live.run(PostgresModelFeed(pool, wakeups)))
    await live.tried(10)
    try:
        yield live
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await wakeups.close()


async def within(seconds: float, seen: Callable[[], bool]) -> float:
    """How long it took until `seen()`."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not seen():  # noqa: ASYNC110 - what another task does
            await asyncio.sleep(0.005)
    return time.monotonic() - started


@pytest.fixture
async def service(pool: Pool) -> CatalogueService:
    for tenant, name in ((A, "a"), (B, "b")):
        await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, name)
    live = LiveCatalogue(OWN, BOX, {})
    return CatalogueService(PostgresModels(pool), live, PostgresModelFeed(pool, Wakeups(pool)), BOX, FakeResolver())


async def test_what_was_written_is_what_is_read(service: CatalogueService, pool: Pool) -> None:
    wanted = entry("qwen", A)
    stored = (await service.create(wanted, "sk-1")).entry
    assert stored == replace(wanted, has_key=True)
    changed = await service.change(stored, 1, {"price": Price(1), "options": {}, "enabled": False}, None)
    assert changed.entry == replace(stored, price=Price(1), options={}, enabled=False, version=2)
    assert changed.updated_at is not None and changed.updated_at >= (changed.created_at or changed.updated_at)
    async with replica(pool, 60) as live:
        assert [found.version for found in live.entries] == [1]  # disabled: only the instance's own
        assert live.key_of(changed.entry) == "sk-1"


async def test_a_change_is_told_to_every_replica(service: CatalogueService, postgres_dsn: str, pool: Pool) -> None:
    """With a poll so rare that only the notification can have done it."""
    other = await create_pool(postgres_dsn, max_size=2)
    try:
        async with replica(pool, 600) as one, replica(other, 600) as two:
            await asyncio.sleep(0.3)  # until both listen
            record = await service.create(entry("qwen", A), "sk-1")
            took = [await within(PROMISE_S, lambda live=live: "qwen" in live.of(A)) for live in (one, two)]  # type: ignore[misc]
            assert two.key_of(two.of(A)["qwen"]) == "sk-1" and "qwen" not in two.of(B)
            await service.change(record.entry, 1, {"enabled": False}, None)
            took += [await within(PROMISE_S, lambda live=live: "qwen" not in live.of(A)) for live in (one, two)]  # type: ignore[misc]
            record = await service.create(entry("shared"))
            await within(PROMISE_S, lambda: "shared" in two.of(A) and "shared" in one.of(B))
            await service.remove(record.entry)
            await within(PROMISE_S, lambda: "shared" not in two.of(A) and "shared" not in one.of(B))
    finally:
        await other.close()
    print(f"seen after at most {1000 * max(took):.0f} ms")


async def test_a_change_that_nobody_told_of_is_seen(service: CatalogueService, pool: Pool) -> None:
    """Written past us: no notification, and not even a new version."""
    record = await service.create(entry("qwen", A))
    async with replica(pool, Settings().models.refresh_s) as live:
        await pool.execute("UPDATE models SET quality = 1")
        await within(PROMISE_S, lambda: live.of(A)["qwen"].quality == 1)
        await pool.execute("DELETE FROM models WHERE id = $1", record.entry.id)
        await within(PROMISE_S, lambda: "qwen" not in live.of(A))


async def test_commits_out_of_order_are_all_seen(service: CatalogueService, pool: Pool) -> None:
    """A transaction that began first and commits last has the oldest `updated_at`."""
    record = await service.create(entry("slow", A))
    await service.create(entry("quick", A))
    live, feed = LiveCatalogue(OWN, BOX, {}), PostgresModelFeed(pool, Wakeups(pool))
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("UPDATE models SET quality = 1, updated_at = now() WHERE id = $1", record.entry.id)
        await pool.execute("UPDATE models SET quality = 2, updated_at = now() WHERE name = 'quick'")
        await live.refresh(feed)
        assert (live.of(A)["slow"].quality, live.of(A)["quick"].quality) == (4, 2)
        await transaction.commit()
    await live.refresh(feed)
    assert live.of(A)["slow"].quality == 1


async def test_a_tenant_sees_the_platforms_and_changes_only_its_own(service: CatalogueService) -> None:
    mine, shared = (await service.create(entry("mine", A))).entry, (await service.create(entry("shared"))).entry
    assert [record.entry.name for record in await service.find(B, None, None, 9)] == ["shared", "local-model"]
    with pytest.raises(NotFound):
        await service.get(B, mine.id)
    assert (await service.get(B, shared.id)).entry == shared
    with pytest.raises(NotFound):  # as if it were B's: the row is not
        await service.remove(replace(mine, tenant_id=B))
    with pytest.raises(NotFound):
        await service.remove(replace(shared, tenant_id=B))
    with pytest.raises(Conflict):
        await service.change(replace(shared, tenant_id=B), 1, {"quality": 1}, None)
    assert (await service.get(A, mine.id)).entry == mine


async def test_the_wall_lets_platform_rows_be_read_and_not_written(service: CatalogueService, pool: Pool) -> None:
    await service.create(entry("shared"))
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL ROLE voicehelper_tenant")
        await conn.execute("SELECT set_config('app.tenant_id', $1, true)", str(A))
        assert await conn.fetchval("SELECT count(*) FROM models") == 1
        assert await conn.execute("UPDATE models SET quality = 1") == "UPDATE 0"
        assert await conn.execute("DELETE FROM models") == "DELETE 0"
        await conn.execute("SELECT set_config('app.tenant_id', '', true)")
        assert await conn.fetchval("SELECT count(*) FROM models WHERE tenant_id IS NOT NULL") == 0
    with pytest.raises(Exception, match="row-level security"):
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL ROLE voicehelper_tenant")
            await conn.execute("SELECT set_config('app.tenant_id', $1, true)", str(A))
            await conn.execute(
                "INSERT INTO models (id, name, provider, context_tokens) VALUES ($1, 'x', 'qwen', 1)", new_id()
            )


@pytest.mark.timeout(120)
async def test_without_a_database_the_instances_own_model_serves_and_the_last_copy_stays(
    engine_folder: Path, tmp_path: Path
) -> None:
    engine = EmbeddedPostgres(engine_folder / "away", random_port(), "secret", engine_folder / "away.log")
    engine.prepare()
    settings = Settings(home=tmp_path, postgres_url=engine.url("postgres"))  # type: ignore[arg-type]
    nodes, process = Nodes(settings, {}), None
    try:
        with capture_logs():
            live = await live_catalogue(nodes)
            assert set(live.of(A)) == {settings.chat.model}
            process = await asyncio.to_thread(engine.start)
            await asyncio.to_thread(wait_ready, engine)
            pool = await create_pool(engine.url("postgres"), max_size=1)
            models = PostgresModels(pool)
            async with asyncio.timeout(30):
                while await pool.fetchval("SELECT to_regclass('models')") is None:  # noqa: ASYNC110 - the migration
                    await asyncio.sleep(0.05)
            await models.add(entry("first"), None, 9)
            await within(PROMISE_S, lambda: "first" in live.of(A))
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            await asyncio.sleep(3)
            assert set(live.of(A)) == {"first", settings.chat.model}
            nodes.check()
            await asyncio.to_thread(engine.prepare)
            process = await asyncio.to_thread(engine.start)
            await asyncio.to_thread(wait_ready, engine)
            await pool.expire_connections()
            await models.add(entry("second"), None, 9)
            took = await within(PROMISE_S, lambda: "second" in live.of(A))
            print(f"after kill -9: seen {took:.2f} s after the write")
            await pool.close()
    finally:
        await nodes.close()
        if process is not None:
            stop(process)
