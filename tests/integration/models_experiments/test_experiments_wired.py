"""A process's experiments as `deployments.experiments` puts them together."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

from deployments.experiments import experiments
from deployments.wiring import Nodes
from tests.fakes.experiments import experiment_with
from voicehelper.config import Settings
from voicehelper.embedded.ports import random_port
from voicehelper.ids import new_id
from voicehelper.models.model import Assignment, Caller, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.stores.postgres.experiments import PostgresExperiments
from voicehelper.stores.postgres.experiments_figures import PostgresFigures
from voicehelper.stores.postgres.pool import Pool


async def running_experiment(pool: Pool) -> tuple[UUID, UUID]:
    tenant_id = new_id()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 't')", tenant_id)
    owners = PostgresExperiments(pool)
    draft = await owners.add(experiment_with(50, 50, tenant_id=tenant_id, status="draft"), 10)
    return tenant_id, (await owners.start(draft, time.time())).id


async def assigned(nodes: Nodes, caller: Caller) -> Assignment:
    running = await experiments(nodes)
    async with asyncio.timeout(10):
        while (found := await running.assign(caller, "auto")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_it_assigns_counts_and_writes_at_its_end(
    pool: Pool, postgres_dsn: str, redis_url: str, tmp_path: Path
) -> None:
    tenant_id, experiment_id = await running_experiment(pool)
    nodes = Nodes(Settings(home=tmp_path, postgres_url=postgres_dsn, redis_url=redis_url), {})
    caller = Caller(tenant_id, "u")
    try:
        assignment = await assigned(nodes, caller)
        outcome = Settlement(ChatUsage(10, 5), 700, "answered", 400.0, 50.0)
        (await experiments(nodes)).outcome(caller, assignment, outcome)
        nodes.check()
    finally:
        await nodes.close()
    figures = await PostgresFigures(pool).figures(tenant_id, experiment_id)
    assert figures[assignment.variant].arm("cost_micros").total == 700
    assert (await PostgresFigures(pool).counts(tenant_id, experiment_id)).users is not None


async def test_it_starts_while_the_database_is_away(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{random_port()}"
    urls = {"postgres_url": f"postgresql://x:x@{nowhere}/x", "redis_url": f"redis://{nowhere}/0"}
    nodes = Nodes(Settings(home=tmp_path, **urls), {})
    try:
        async with asyncio.timeout(5):
            assert await (await experiments(nodes)).assign(Caller(new_id(), "u"), "auto") is None
        await asyncio.sleep(0.1)
        nodes.check()
    finally:
        await nodes.close()
