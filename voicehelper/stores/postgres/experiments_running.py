"""What running experiments ask of PostgreSQL, and leave in it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from voicehelper.models.experiments.model import Chosen, Experiment, Exposure
from voicehelper.models.experiments.store import Batch
from voicehelper.stores.postgres.experiments_rows import CHOSEN, EXPERIMENT, chosen_of, experiment_of
from voicehelper.stores.postgres.feeds import PostgresTableFeed
from voicehelper.stores.postgres.guard import SYSTEM, connection, transaction
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import EXPERIMENTS

_STATE = """
SELECT count(*) || '.' || coalesce(bit_xor(hashtextextended(id || '.' || version, 0)), 0)
FROM experiments WHERE status = 'running'"""
_RUNNING = f"SELECT {EXPERIMENT} FROM experiments WHERE status = 'running' ORDER BY id"  # noqa: S608 - constants

# Somebody has one variant at a time: another takes its place once its time is over; of two given at about the same time
# by replicas that had not heard of each other, the earlier one stays.
_TAKES = "(a.until <= excluded.assigned_at OR excluded.assigned_at < a.assigned_at)"
_ASSIGN = f"""
INSERT INTO experiment_assignments AS a (experiment_id, subject, tenant_id, variant, revision, first_variant,
                                         first_revision, assigned_at, until, exposures)
SELECT e.id, x.subject, e.tenant_id, x.variant, x.revision, x.variant, x.revision, x.at, x.until, $7
FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
    AS x (experiment_id, subject, variant, revision, at, until)
JOIN experiments e ON e.id = x.experiment_id
ORDER BY e.id, x.subject FOR KEY SHARE OF e
ON CONFLICT (experiment_id, subject) DO UPDATE SET
    variant = CASE WHEN {_TAKES} THEN excluded.variant ELSE a.variant END,
    revision = CASE WHEN {_TAKES} THEN excluded.revision ELSE a.revision END,
    assigned_at = CASE WHEN {_TAKES} THEN excluded.assigned_at ELSE a.assigned_at END,
    until = CASE WHEN {_TAKES} THEN excluded.until ELSE a.until END,
    exposures = a.exposures + excluded.exposures
RETURNING {CHOSEN}"""  # noqa: S608
_FOUND = f"SELECT {CHOSEN} FROM experiment_assignments WHERE experiment_id = $1 AND subject = $2"  # noqa: S608

_FIRST = "INSERT INTO experiment_batches (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true"
_TALLY = """
INSERT INTO experiment_tallies AS t (experiment_id, variant, metric, bucket, tenant_id, n, total, squares)
SELECT e.id, x.variant, x.metric, x.bucket, e.tenant_id, x.n, x.total, x.squares
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::float8[], $7::float8[])
    AS x (experiment_id, variant, metric, bucket, n, total, squares)
JOIN experiments e ON e.id = x.experiment_id
ORDER BY e.id, x.variant, x.metric, x.bucket FOR KEY SHARE OF e
ON CONFLICT (experiment_id, variant, metric, bucket) DO UPDATE
SET n = t.n + excluded.n, total = t.total + excluded.total, squares = t.squares + excluded.squares"""
_BIN = """
INSERT INTO experiment_bins AS b (experiment_id, variant, metric, bin, tenant_id, n)
SELECT e.id, x.variant, x.metric, x.bin, e.tenant_id, x.n
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::bigint[])
    AS x (experiment_id, variant, metric, bin, n)
JOIN experiments e ON e.id = x.experiment_id
ORDER BY e.id, x.variant, x.metric, x.bin FOR KEY SHARE OF e
ON CONFLICT (experiment_id, variant, metric, bin) DO UPDATE SET n = b.n + excluded.n"""
_FORGET = "DELETE FROM experiment_batches WHERE at < now() - interval '1 day'"


class PostgresExperimentFeed(PostgresTableFeed):
    """`TableFeed` of the running experiments."""

    statement = _STATE
    channel = EXPERIMENTS

    async def rows(self) -> Sequence[Experiment]:
        """See `TableFeed`."""
        async with connection(self._pool, SYSTEM) as conn:
            return [experiment_of(row) for row in await conn.fetch(_RUNNING)]


class PostgresAssignments:
    """`models.experiments.store.AssignmentStore` and `BatchStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, tenant_id: UUID, exposure: Exposure) -> Chosen | None:
        """See `AssignmentStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_ASSIGN, *_assigned([exposure]), 0)
        return chosen_of(row) if row else None

    async def find(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        """See `AssignmentStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_FOUND, experiment_id, subject)
        return chosen_of(row) if row else None

    async def write(self, batch: Batch) -> None:
        """See `BatchStore`."""
        async with transaction(self._pool, SYSTEM) as conn:
            if await conn.fetchval(_FIRST, batch.id):
                await _write(conn, batch)

    async def prune(self) -> None:
        """Forget batches that nobody will send again."""
        async with connection(self._pool, SYSTEM) as conn:
            await conn.execute(_FORGET)


async def _write(conn: Connection, batch: Batch) -> None:
    if batch.exposures:
        await conn.execute(_ASSIGN, *_assigned(batch.exposures.values()), 1)
    if batch.tallies:
        sums = [(*key, tally.n, tally.total, tally.squares) for key, tally in batch.tallies.items()]
        await conn.execute(_TALLY, *_columns(sums))
    if batch.bins:
        await conn.execute(_BIN, *_columns([(*key, n) for key, n in batch.bins.items()]))


def _assigned(exposures: Iterable[Exposure]) -> list[list[Any]]:
    rows = []
    for one in exposures:
        chosen = one.chosen
        times = (datetime.fromtimestamp(moment, UTC) for moment in (chosen.at, chosen.until))
        rows.append((one.experiment_id, one.subject, chosen.variant, chosen.revision, *times))
    return _columns(rows)


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
