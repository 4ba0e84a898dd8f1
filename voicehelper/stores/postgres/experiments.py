"""Experiments in PostgreSQL, as their owners see them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from voicehelper.errors import Conflict, NotFound, VersionConflict
from voicehelper.events.catalogue import ExperimentStarted, ExperimentStopped
from voicehelper.models.experiments.live import LEAD_S
from voicehelper.models.experiments.model import Experiment, Status, Weights
from voicehelper.stores.postgres.experiments_rows import EXPERIMENT, columns_of, experiment_of
from voicehelper.stores.postgres.guard import connection, transaction
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Connection, Pool
from voicehelper.stores.postgres.wakeups import EXPERIMENTS, notify

_FIND = f"""
SELECT {EXPERIMENT} FROM experiments
WHERE tenant_id = $1 AND ($2::text IS NULL OR status = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4"""  # noqa: S608 - constants
_GET = f"SELECT {EXPERIMENT} FROM experiments WHERE tenant_id = $1 AND id = $2"  # noqa: S608
_KNOWS = """
SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND id = $2)
    OR EXISTS (SELECT FROM api_keys WHERE tenant_id = $1 AND id = $2)"""
_ADD = f"""
INSERT INTO experiments (id, tenant_id, name, description, target_kind, target, variants, weights, salt, primary_metric,
                         goal, guard_rails)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE (SELECT count(*) FROM experiments WHERE tenant_id = $2) < $13
RETURNING {EXPERIMENT}"""  # noqa: S608
_REDRAFT = f"""
UPDATE experiments
SET name = $3, description = $4, target_kind = $5, target = $6, variants = $7, weights = $8, salt = $9,
    primary_metric = $10, goal = $11, guard_rails = $12, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING {EXPERIMENT}"""  # noqa: S608
_WEIGH = f"""
UPDATE experiments SET weights = $3, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING {EXPERIMENT}"""  # noqa: S608
_START = f"""
UPDATE experiments
SET status = 'running', weights = $3, started_at = $4, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING {EXPERIMENT}"""  # noqa: S608
_STOP = f"""
UPDATE experiments
SET status = 'stopped', reason = $3, stopped_at = $4, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING {EXPERIMENT}"""  # noqa: S608


class PostgresExperiments:
    """`gateway.experiments.ExperimentStore` on the table `experiments`. Changes wake the replicas."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, tenant_id: UUID, status: Status | None, before: UUID | None, limit: int) -> list[Experiment]:
        """See `ExperimentStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return [experiment_of(row) for row in await conn.fetch(_FIND, tenant_id, status, before, limit)]

    async def get(self, tenant_id: UUID, experiment_id: UUID) -> Experiment:
        """See `ExperimentStore`."""
        async with connection(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_GET, tenant_id, experiment_id)
        if row is None:
            raise NotFound("No such experiment")
        return experiment_of(row)

    async def knows(self, tenant_id: UUID, user_id: UUID) -> bool:
        """See `ExperimentStore`."""
        async with connection(self._pool, tenant_id) as conn:
            return bool(await conn.fetchval(_KNOWS, tenant_id, user_id))

    async def add(self, experiment: Experiment, most: int) -> Experiment:
        """See `ExperimentStore`."""
        values = columns_of(experiment).values()
        try:
            async with transaction(self._pool, experiment.tenant_id) as conn:
                row = await conn.fetchrow(_ADD, experiment.id, experiment.tenant_id, *values, most)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("An experiment has this name") from error
        if row is None:
            raise Conflict(f"A tenant has at most {most} experiments")
        return experiment_of(row)

    async def redraft(self, experiment: Experiment) -> Experiment:
        """See `ExperimentStore`."""
        try:
            async with transaction(self._pool, experiment.tenant_id) as conn:
                await _lock(conn, experiment, "draft")
                values = columns_of(experiment).values()
                return experiment_of(await _one(conn, _REDRAFT, experiment, *values))
        except asyncpg.UniqueViolationError as error:
            raise Conflict("An experiment has this name") from error

    async def start(self, experiment: Experiment, now: float) -> Experiment:
        """See `ExperimentStore`."""
        try:
            async with transaction(self._pool, experiment.tenant_id) as conn:
                present = await _lock(conn, experiment, "draft")
                weights = [asdict(replace(present.weights[-1], since=now))]
                row = await _one(conn, _START, experiment, weights, datetime.fromtimestamp(now, UTC))
                await add_event(conn, experiment.tenant_id, ExperimentStarted(experiment_id=experiment.id))
                await notify(conn, EXPERIMENTS)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("Another experiment is running on the same calls") from error
        return experiment_of(row)

    async def weigh(self, experiment: Experiment, shares: Sequence[float], traffic: float, now: float) -> Experiment:
        """See `ExperimentStore`."""
        async with transaction(self._pool, experiment.tenant_id) as conn:
            present = await _lock(conn, experiment, "running")
            last = present.weights[-1]
            # After the last change, should that be still to come: the order of revisions is that of their times.
            since = max(now + LEAD_S, last.since)
            weights = [*present.weights, Weights(last.revision + 1, since, tuple(shares), traffic)]
            row = await _one(conn, _WEIGH, experiment, [asdict(one) for one in weights])
            await notify(conn, EXPERIMENTS)
        return experiment_of(row)

    async def stop(self, experiment: Experiment, reason: str, now: float) -> Experiment:
        """See `ExperimentStore`."""
        async with transaction(self._pool, experiment.tenant_id) as conn:
            await _lock(conn, experiment, "running")
            row = await _one(conn, _STOP, experiment, reason, datetime.fromtimestamp(now, UTC))
            await add_event(conn, experiment.tenant_id, ExperimentStopped(experiment_id=experiment.id))
            await notify(conn, EXPERIMENTS)
        return experiment_of(row)

    async def remove(self, tenant_id: UUID, experiment_id: UUID) -> None:
        """See `ExperimentStore`."""
        async with transaction(self._pool, tenant_id) as conn:
            row = await conn.fetchrow(_GET + " FOR UPDATE", tenant_id, experiment_id)
            if row is None:
                raise NotFound("No such experiment")
            if row["status"] == "running":
                raise Conflict("The experiment is running")
            await conn.execute("DELETE FROM experiments WHERE tenant_id = $1 AND id = $2", tenant_id, experiment_id)


async def _lock(conn: Connection, experiment: Experiment, status: Status) -> Experiment:
    """As it is now, if its version is still that of `experiment`. Raises `NotFound`, `VersionConflict`, `Conflict`."""
    row = await conn.fetchrow(_GET + " FOR UPDATE", experiment.tenant_id, experiment.id)
    if row is None:
        raise NotFound("No such experiment")
    if row["version"] != experiment.version:
        raise VersionConflict(details={"version": row["version"]})
    if row["status"] != status:
        raise Conflict(f"The experiment is {row['status']}, not {status}")
    return experiment_of(row)


async def _one(conn: Connection, query: str, experiment: Experiment, *values: object) -> asyncpg.Record:
    row = await conn.fetchrow(query, experiment.tenant_id, experiment.id, *values)
    assert row is not None  # locked above
    return row
