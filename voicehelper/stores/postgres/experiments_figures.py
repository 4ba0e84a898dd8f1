"""Figures of experiments, and the rounds that stop variants by them."""

from collections import defaultdict
from dataclasses import asdict, replace
from uuid import UUID

from voicehelper.events.catalogue import ExperimentVariantStopped
from voicehelper.identity.audit import AuditEntry
from voicehelper.models.experiments.comparison import arm
from voicehelper.models.experiments.guard import Figures, Verdict
from voicehelper.models.experiments.guarding import EVERY_S, Judge
from voicehelper.models.experiments.model import RATES, Experiment
from voicehelper.models.experiments.results import Assigned, Counts
from voicehelper.models.experiments.store import Tally
from voicehelper.ports.clock import Clock
from voicehelper.stores.postgres.audit import PostgresAuditLog
from voicehelper.stores.postgres.experiments_rows import EXPERIMENT, experiment_of
from voicehelper.stores.postgres.experiments_running import PostgresAssignments
from voicehelper.stores.postgres.guard import SYSTEM, Scope, connection, request_transaction, transaction
from voicehelper.stores.postgres.outbox import add_event
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import EXPERIMENTS, notify
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_LOCK = 0x65787065  # "expe"
_LOCKED = "SELECT pg_try_advisory_xact_lock($1)"
_TURN = "INSERT INTO experiment_batches (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true"
_TALLIES = "SELECT variant, metric, bucket, n, total, squares FROM experiment_tallies WHERE experiment_id = $1"
_BINS = "SELECT variant, metric, bin, n FROM experiment_bins WHERE experiment_id = $1"
_ASSIGNED = """
SELECT first_revision, first_variant, variant, count(*) AS users FROM experiment_assignments
WHERE experiment_id = $1 GROUP BY 1, 2, 3"""
_GUARDED = f"SELECT {EXPERIMENT} FROM experiments WHERE status = 'running' AND guard_rails <> '[]'"  # noqa: S608
_RUNNING = f"SELECT {EXPERIMENT} FROM experiments WHERE id = $1 AND status = 'running' FOR UPDATE"  # noqa: S608
_CHANGE = "UPDATE experiments SET variants = $2, version = version + 1, updated_at = now() WHERE id = $1"


class PostgresFigures:
    """Reads sums, and makes estimates of them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def figures(self, scope: Scope, experiment_id: UUID) -> dict[str, Figures]:
        """Of each variant that has any, by name. Raises `Unavailable`."""
        async with connection(self._pool, scope) as conn:
            tallies, bins = await conn.fetch(_TALLIES, experiment_id), await conn.fetch(_BINS, experiment_id)
        sums: dict[str, dict[str, dict[int, Tally]]] = defaultdict(lambda: defaultdict(dict))
        for variant, metric, bucket, *tally in tallies:
            sums[variant][metric][bucket] = Tally(*tally)
        spread: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
        for variant, metric, number, n in bins:
            spread[variant][metric][number] = n
        return {
            variant: Figures(
                {metric: arm(buckets, rate=metric in RATES) for metric, buckets in metrics.items()}, spread[variant]
            )
            for variant, metrics in sums.items()
        }

    async def counts(self, scope: Scope, experiment_id: UUID) -> Counts:
        """Who was assigned. Raises `Unavailable`."""
        async with connection(self._pool, scope) as conn:
            rows = await conn.fetch(_ASSIGNED, experiment_id)
        first: dict[tuple[int, int], int] = defaultdict(int)
        users: dict[int, int] = defaultdict(int)
        for row in rows:
            first[row["first_revision"], row["first_variant"]] += row["users"]
            users[row["variant"]] += row["users"]
        return Counts(tuple(Assigned(*key, n) for key, n in sorted(first.items())), users)


class PostgresGuardRounds:
    """`models.experiments.guarding.GuardRounds`. One process of all does a round, once in every
    `EVERY_S` seconds of the clock."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._figures = PostgresFigures(pool)
        self._audit = PostgresAuditLog(pool)

    async def round(self, judge: Judge) -> int:
        """See `GuardRounds`."""
        stopped = 0
        async with transaction(self._pool, SYSTEM) as conn:
            turn = UUID(int=int(self._clock.now() // EVERY_S))
            if not await conn.fetchval(_LOCKED, _LOCK) or not await conn.fetchval(_TURN, turn):
                return 0
            for experiment in [experiment_of(row) for row in await conn.fetch(_GUARDED)]:
                for verdict in judge(experiment, await self._figures.figures(SYSTEM, experiment.id)):
                    stopped += await self._stop(experiment, verdict)
        return stopped

    async def prune(self) -> None:
        """See `GuardRounds`."""
        await PostgresAssignments(self._pool).prune()

    async def _stop(self, experiment: Experiment, verdict: Verdict) -> bool:
        async with request_transaction(self._pool, experiment.tenant_id) as conn:
            row = await conn.fetchrow(_RUNNING, experiment.id)
            if row is None:
                return False
            variants = [
                replace(one, stopped_at=self._clock.now(), reason=verdict.reason)
                if one.name == verdict.variant and one.stopped_at is None
                else one
                for one in experiment_of(row).variants
            ]
            await conn.execute(_CHANGE, experiment.id, [asdict(one) for one in variants])
            facts = {"variant": verdict.variant, "reason": verdict.reason}
            await self._audit.record(
                AuditEntry(
                    tenant_id=experiment.tenant_id,
                    action="experiment.variant_stopped",
                    actor_kind="system",
                    resource="experiment",
                    resource_id=str(experiment.id),
                    details=facts,
                )
            )
            fact = ExperimentVariantStopped(experiment_id=experiment.id, variant=verdict.variant)
            await add_event(conn, experiment.tenant_id, fact)
            await notify(conn, EXPERIMENTS)
        log.warning("experiments.variant_stopped", experiment=str(experiment.id), **facts)
        return True
