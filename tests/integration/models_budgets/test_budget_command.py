"""`voicehelper budgets`, as somebody types it."""

import asyncio
import os
import sys
import time
from uuid import UUID

from voicehelper.ids import new_id
from voicehelper.models.budgets import Limits, month_of
from voicehelper.models.model import Caller


async def command(dsn: str, url: str, *words: str) -> tuple[int, str]:
    env = {**os.environ, "VOICEHELPER_POSTGRES_URL": dsn, "VOICEHELPER_REDIS_URL": url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicehelper.cli.main", "budgets", *words),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_books_agree_or_the_exit_status_says_so(world, answered, entry, postgres_dsn, redis_url) -> None:
    tenant, idle = await world.tenant(Limits(hard=5000)), await world.tenant()
    replica, month = await world.replica(), month_of(int(time.time()) * 1_000_000)
    for cost in (100, 20):
        replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 50, 50), answered(cost))
        await replica.flush()
        if cost == 100:
            await world.bring(tenant)
    status, said = await command(postgres_dsn, redis_url, "reconcile")
    assert status == 0, said
    row = next(line.split() for line in said.splitlines() if line.startswith(str(tenant)) and f" {month} " in line)
    assert row[2:] == ["100", "20", "120", "0"]
    assert f"{idle}" in said and "not open" in said
    assert said.splitlines()[-1] == "2 tenants: all agree"
    user, key_id = await world.user(tenant), new_id()
    await world.pool.execute(
        "INSERT INTO api_keys (id, tenant_id, user_id, name, secret_hash, permissions)"
        " VALUES ($1, $2, $3, 'books', $4, '{}')",
        *(key_id, tenant, UUID(user), b"h"),
    )
    caller = Caller(tenant, user, str(key_id))  # subjects with a name of their own
    replica.budgets.settle(await replica.budgets.reserve(caller, entry, 5, 5), answered(7))
    await replica.flush()
    status, said = await command(postgres_dsn, redis_url, "reconcile", "--tenant", str(tenant))
    assert status == 0, said
    key = f"vh:{{{tenant}}}:budget:m:{month}"
    await world.link.call(lambda client: client.hincrby(key, "t", 7))
    status, said = await command(postgres_dsn, redis_url, "reconcile", "--tenant", str(tenant), "--fix")
    assert (status, said.splitlines()[-1]) == (1, "1 tenants: 1 differ, corrected")
    status, said = await command(postgres_dsn, redis_url, "reconcile", "--month", f"{month[:4]}-{month[4:]}")
    assert status == 0, said


async def test_reports_and_what_cannot_be_asked(world, answered, entry, postgres_dsn, redis_url) -> None:
    tenant, replica = await world.tenant(), await world.replica()
    replica.budgets.settle(await replica.budgets.reserve(Caller(tenant), entry, 50, 50), answered(1_500_000))
    await replica.flush()
    await world.bring(tenant)
    status, said = await command(postgres_dsn, redis_url, "report")
    assert status == 0 and f"{tenant}" in said and "1.500000" in said
    status, said = await command(postgres_dsn, redis_url, "report", "--tenant", str(tenant), "--by", "model")
    assert status == 0 and said.splitlines()[1].split()[:2] == ["m", "1"]
    for words in (("report", "--by", "colour"), ("reconcile", "--tenant", "x"), ("reconcile", "--month", "2026-13")):
        assert (await command(postgres_dsn, redis_url, *words))[0] == 2
    assert (await command(postgres_dsn, "redis://127.0.0.1:1/0", "reconcile"))[0] == 2
