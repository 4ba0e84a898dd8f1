"""The pool's codecs and the migration runner on a real server."""

import asyncio

import numpy as np
import pytest

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.stores.postgres.migrate import (
    Migration,
    MigrationMismatch,
    current_version,
    load_migrations,
    migrate,
    rollback,
)
from voicehelper.stores.postgres.pool import Pool, create_pool, transaction


async def test_json_vectors_and_uuids_round_trip(pool: Pool) -> None:
    identifier = new_id()
    row = await pool.fetchrow(
        "SELECT $1::uuid AS id, $2::jsonb AS j, $3::halfvec AS h, $4::vector AS v",
        identifier,
        {"名": [1, None, identifier]},
        [0.5, -1.0],
        np.array([0.1, 0.2], dtype=np.float32),
    )
    assert row is not None
    assert row["id"] == identifier
    assert row["j"] == {"名": [1, None, str(identifier)]}
    assert row["h"].tolist() == [0.5, -1.0]
    np.testing.assert_allclose(row["v"], [0.1, 0.2], rtol=1e-6)
    assert await pool.fetchval("SELECT $1::halfvec <=> $2::halfvec", [1.0, 0.0], [0.0, 1.0]) == pytest.approx(1.0)


async def test_transaction_rolls_back_on_error(pool: Pool) -> None:
    with pytest.raises(RuntimeError):
        async with transaction(pool) as connection:
            await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, 'x')", new_id())
            raise RuntimeError
    assert await pool.fetchval("SELECT count(*) FROM tenants") == 0


async def test_unreachable_server_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await create_pool("postgresql://u:p@127.0.0.1:1/x", min_size=1, max_size=1)


async def test_migrate_is_idempotent_and_rollback_empties_the_schema(postgres_dsn: str, pool: Pool) -> None:
    versions = [m.version for m in load_migrations()]
    assert await migrate(postgres_dsn) == []
    assert await rollback(postgres_dsn, 0) == versions[::-1]
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert await pool.fetchval(tables) == 1  # schema_migrations
    assert await migrate(postgres_dsn) == versions
    assert await current_version(postgres_dsn) == versions[-1]


async def test_many_processes_at_once_apply_each_migration_once(postgres_dsn: str) -> None:
    await rollback(postgres_dsn, 0)
    results = await asyncio.gather(*(migrate(postgres_dsn) for _ in range(5)))
    assert sorted(map(len, results))[:4] == [0, 0, 0, 0]
    assert max(map(len, results)) == len(load_migrations())


async def test_a_failing_migration_leaves_nothing_behind(postgres_dsn: str, pool: Pool) -> None:
    known = load_migrations()
    broken = Migration(len(known) + 1, "broken", "CREATE TABLE half (id int); SELECT 1/0;", "DROP TABLE half")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(postgres_dsn, [*known, broken])
    assert await pool.fetchval("SELECT to_regclass('half')") is None
    assert await current_version(postgres_dsn) == len(known)


async def test_changed_or_unknown_history_is_refused(postgres_dsn: str) -> None:
    known = load_migrations()
    changed = [*known[:-1], Migration(known[-1].version, known[-1].name, known[-1].up + "\n", "")]
    with pytest.raises(MigrationMismatch, match="changed"):
        await migrate(postgres_dsn, changed)
    with pytest.raises(MigrationMismatch, match="does not know"):
        await migrate(postgres_dsn, [])
