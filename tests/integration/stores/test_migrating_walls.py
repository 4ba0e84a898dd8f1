"""Roles belong to the server: many databases may migrate at once, and their owners need not be superusers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.conftest import wait_ready
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import stop
from voicehelper.ids import new_id
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.migrate import current_version, load_migrations, migrate, rollback
from voicehelper.stores.postgres.pool import create_pool

LATEST = len(load_migrations())


@pytest.fixture(scope="module")
def server(engine_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server on which nothing was migrated yet."""
    folder = engine_folder / "fresh"
    made = EmbeddedPostgres(folder, random_port(), "test-password", engine_folder / "fresh.log", durable=False)
    made.prepare()
    process = made.start()
    try:
        wait_ready(made)
        yield made
    finally:
        stop(process, sign=signal.SIGQUIT)


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url("postgres"))
    yield connection
    await connection.close()


async def test_an_owner_who_may_create_roles_needs_no_help(server: EmbeddedPostgres, admin: asyncpg.Connection) -> None:
    url = await _owned_database(server, admin, "maker", "CREATEROLE")
    await migrate(url)
    await _works(url)
    await admin.execute("DROP DATABASE maker")
    await admin.execute("DROP ROLE voicehelper_tenant, voicehelper_system")


async def test_many_databases_of_a_fresh_server_at_once(server: EmbeddedPostgres, admin: asyncpg.Connection) -> None:
    names = [f"d{i}" for i in range(6)]
    for name in names:
        await admin.execute(f"CREATE DATABASE {name}")
    await asyncio.gather(*(migrate(server.url(name)) for name in names))
    assert [await current_version(server.url(name)) for name in names] == [LATEST] * 6


async def test_walls_go_down_and_up_again_without_harm_to_other_databases(
    server: EmbeddedPostgres, admin: asyncpg.Connection
) -> None:
    for name in ("stays", "goes"):
        await admin.execute(f"CREATE DATABASE {name}")
        await migrate(server.url(name))
    assert await rollback(server.url("goes"), 2) == list(range(LATEST, 2, -1))
    pool = await create_pool(server.url("goes"), max_size=1)
    assert await pool.fetchval("SELECT count(*) FROM pg_policy") == 0
    roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'voicehelper\\_%'"
    for row in await pool.fetch(roles):
        granted = "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = $1"
        assert await pool.fetchval(granted, row["rolname"]) == 0
    await pool.close()
    await migrate(server.url("goes"))
    await _works(server.url("stays"))
    await _works(server.url("goes"))


async def test_an_owner_who_may_not_is_granted_them_beforehand(
    server: EmbeddedPostgres, admin: asyncpg.Connection
) -> None:
    """As docs/deployment.md says; without it, nothing is migrated halfway."""
    url = await _owned_database(server, admin, "plain", "")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await migrate(url)
    assert await current_version(url) == 2
    await admin.execute("GRANT voicehelper_tenant, voicehelper_system TO plain")
    await migrate(url)
    await _works(url)


async def _owned_database(server: EmbeddedPostgres, admin: asyncpg.Connection, name: str, options: str) -> str:
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' {options}")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    superuser = await asyncpg.connect(server.url(name))
    await superuser.execute("CREATE EXTENSION vector")
    await superuser.close()
    return server.url(name).replace("voicehelper:test-password", f"{name}:x")


async def _works(url: str) -> None:
    """Writes and reads as the system and as two tenants."""
    pool = await create_pool(url, max_size=2)
    one, other = new_id(), new_id()
    async with guard.connection(pool, guard.SYSTEM) as conn:
        for tenant in (one, other):
            await conn.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, str(tenant))
    async with guard.connection(pool, one) as conn:
        await conn.execute("INSERT INTO roles (tenant_id, name, permissions) VALUES ($1, 'r', '{}')", one)
    async with guard.connection(pool, other) as conn:
        assert await conn.fetchval("SELECT count(*) FROM roles") == 0
        assert await conn.fetchval("SELECT count(*) FROM tenants") == 1
    await pool.close()
