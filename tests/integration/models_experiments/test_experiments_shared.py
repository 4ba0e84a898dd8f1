"""Experiments on real engines: what replicas share, and what survives an engine that is away."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from uuid import UUID

import pytest

from tests.fakes.experiments import FakeAssignmentCache, experiment_with
from voicehelper.ids import new_id
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.guard import losers
from voicehelper.models.experiments.live import LEAD_S
from voicehelper.models.experiments.model import Chosen, Experiment, Exposure, GuardRail
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.experiments.store import Batch, Tally
from voicehelper.models.following import TableCopy
from voicehelper.models.model import Caller, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.assignments import RedisAssignments
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.experiments import PostgresExperiments
from voicehelper.stores.postgres.experiments_figures import PostgresFigures, PostgresGuardRounds
from voicehelper.stores.postgres.experiments_running import PostgresAssignments, PostgresExperimentFeed
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis import connect_redis

DAY = 86_400.0
USERS = [f"user-{n}" for n in range(200)]


class ShiftedClock(SystemClock):
    """The machine's clock, some way ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Replica:
    """What `deployments.experiments` builds, in one of several processes."""

    def __init__(self, pool: Pool, cache: object, clock: ShiftedClock) -> None:
        self.store = PostgresAssignments(pool)
        self.collector = Collector(self.store, clock)
        self.running = RunningExperiments(self.store, cache, self.collector, clock, DAY)
        self.wakeups = Wakeups(pool)
        self.feed = PostgresExperimentFeed(pool, self.wakeups)
        self.copy = TableCopy(self.running.replace, "experiments")

    async def all(self, experiment: Experiment) -> dict[str, str]:
        callers = {user: Caller(experiment.tenant_id, user) for user in USERS}
        return {user: (await self.running.assign(caller, "auto")).variant for user, caller in callers.items()}


@pytest.fixture
async def tenant(pool: Pool) -> UUID:
    tenant_id = new_id()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 't')", tenant_id)
    return tenant_id


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def started(pool: Pool, tenant_id: UUID, *shares: float, **values: object) -> Experiment:
    owners = PostgresExperiments(pool)
    draft = experiment_with(*shares, tenant_id=tenant_id, status="draft", **values)
    return await owners.start(await owners.add(draft, 10), time.time())


async def follow(stack: AsyncExitStack, replica: Replica) -> None:
    task = asyncio.create_task(replica.copy.run(replica.feed, 2.0))

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await replica.wakeups.close()

    stack.push_async_callback(end)


async def test_replicas_hear_of_starts_changes_and_stops_at_once(
    pool: Pool, tenant: UUID, stack: AsyncExitStack
) -> None:
    replicas = [Replica(pool, FakeAssignmentCache(), ShiftedClock()) for _ in range(2)]
    for one in replicas:
        await follow(stack, one)
    caller, owners = Caller(tenant, "u"), PostgresExperiments(pool)

    async def until(running: bool) -> float:
        begun = time.monotonic()
        async with asyncio.timeout(5):
            for one in replicas:
                while (await one.running.assign(caller, "auto") is not None) is not running:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        return time.monotonic() - begun

    await asyncio.sleep(0.3)
    experiment = await started(pool, tenant, 50, 50)
    assert await until(True) < 5
    await owners.stop(experiment, "", time.time())
    assert await until(False) < 5


@pytest.mark.parametrize("redis_away", [False, True])
async def test_users_keep_their_variants_though_weights_change(
    pool: Pool, tenant: UUID, redis_url: str, stack: AsyncExitStack, redis_away: bool
) -> None:
    link = connect_redis("redis://127.0.0.1:1/0" if redis_away else redis_url)
    stack.push_async_callback(link.close)
    clock = ShiftedClock()
    replicas = [Replica(pool, RedisAssignments(link), clock) for _ in range(2)]
    experiment = await started(pool, tenant, 50, 50)
    for one in replicas:
        await one.copy.refresh(one.feed)
    before = await replicas[0].all(experiment)
    changed = await PostgresExperiments(pool).weigh(experiment, (5, 95), 1.0, clock.now())
    assert changed.weights[-1].since > clock.now() + LEAD_S - 1
    await replicas[0].collector.flush()
    clock.ahead += LEAD_S + 1
    replicas.append(Replica(pool, RedisAssignments(link), clock))  # one that was restarted
    for one in replicas:
        await one.copy.refresh(one.feed)
        assert await one.all(changed) == before
    for one in replicas:
        await one.collector.flush()
    clock.ahead += DAY
    after = [await one.all(changed) for one in replicas]
    assert after[0] == after[1] == after[2]
    assert Counter(after[0].values())["b"] > 170 > 120 > Counter(before.values())["b"]


async def test_of_two_that_assign_at_the_same_time_the_earlier_stays(pool: Pool, tenant: UUID) -> None:
    experiment, store = await started(pool, tenant, 50, 50), PostgresAssignments(pool)

    def exposure(variant: int, at: float) -> Exposure:
        return Exposure(experiment.id, b"s", Chosen(variant, at, at + DAY, 1))

    now = time.time()
    kept = await store.keep(tenant, exposure(1, now))
    assert kept is not None and kept.variant == 1
    assert (await store.keep(tenant, exposure(0, now + 5))).variant == 1
    assert (await store.keep(tenant, exposure(0, now - 5))).variant == 0
    assert (await store.keep(tenant, exposure(1, now + DAY))).variant == 1
    assert await store.keep(new_id(), exposure(1, now)) is None, "another tenant sees no such experiment"
    assert await store.find(new_id(), experiment.id, b"s") is None


async def test_a_batch_sent_twice_counts_once_and_many_replicas_add_up(pool: Pool, tenant: UUID) -> None:
    experiment, store = await started(pool, tenant, 50, 50), PostgresAssignments(pool)

    def batch(n: int) -> Batch:
        made = Batch()
        for bucket in range(64):
            key = (experiment.id, "a" if (n + bucket) % 2 else "b", "success", bucket)
            made.tallies[key] = Tally(2, 1.0, 1.0)
            made.bins[experiment.id, "a", "ms", bucket] = 3
        subject = n.to_bytes(2, "big")
        made.exposures[experiment.id, subject] = Exposure(experiment.id, subject, Chosen(n % 2, 1e9, 2e9, 1))
        return made

    batches = [batch(n) for n in range(20)]
    await asyncio.gather(*(store.write(one) for one in [*batches, *batches, *reversed(batches)]))
    figures = await PostgresFigures(pool).figures(tenant, experiment.id)
    assert figures["a"].arm("success").n + figures["b"].arm("success").n == 20 * 64 * 2
    assert sum(figures["a"].bins["ms"].values()) == 20 * 64 * 3
    counts = await PostgresFigures(pool).counts(tenant, experiment.id)
    assert counts.users == {0: 10, 1: 10}


async def test_what_belongs_to_a_deleted_experiment_does_not_hold_up_the_rest(pool: Pool, tenant: UUID) -> None:
    kept = await started(pool, tenant, 50, 50)
    gone = await PostgresExperiments(pool).add(experiment_with(1, 1, tenant_id=tenant, name="gone", status="draft"), 10)
    collector = Collector(PostgresAssignments(pool), SystemClock())
    for experiment in (gone, kept):
        collector.add(experiment.id, "a", "ms", 1, 100.0)
        collector.expose(Exposure(experiment.id, b"s", Chosen(0, 1e9, 2e9, 1)))
    await PostgresExperiments(pool).remove(tenant, gone.id)
    await collector.flush()
    assert (await PostgresFigures(pool).figures(tenant, kept.id))["a"].arm("ms").n == 1
    assert await pool.fetchval("SELECT count(*) FROM experiment_tallies") == 1


def settled(outcome: str) -> Settlement:
    return Settlement(ChatUsage(10, 5), 700, outcome, 400.0, 50.0)


async def losing(pool: Pool, tenant: UUID, replica: Replica) -> Experiment:
    """Running, with 2000 calls, of which `b` failed half."""
    experiment = await started(pool, tenant, 50, 50, guard_rails=(GuardRail("success", margin=0.02),))
    await replica.copy.refresh(replica.feed)
    for call in range(2000):
        caller = Caller(tenant, USERS[call % len(USERS)])
        assignment = await replica.running.assign(caller, "auto")
        assert assignment is not None
        bad = assignment.variant == "b" and (call // len(USERS)) % 2
        replica.running.outcome(caller, assignment, settled("broken" if bad else "answered"))
    await replica.collector.flush()
    return experiment


async def test_a_losing_variant_is_stopped_once_by_one_of_many(pool: Pool, tenant: UUID) -> None:
    clock = ShiftedClock()
    replicas = [Replica(pool, FakeAssignmentCache(), clock) for _ in range(3)]
    experiment = await losing(pool, tenant, replicas[0])
    rounds = [PostgresGuardRounds(pool, clock) for _ in replicas]
    assert sum(await asyncio.gather(*(one.round(losers) for one in rounds))) == 1
    assert sum([await one.round(losers) for one in rounds]) == 0
    stored = await PostgresExperiments(pool).get(tenant, experiment.id)
    assert stored.status == "running" and stored.variants[1].stopped_at is not None
    assert stored.variants[1].reason.startswith("success 0.5")
    for one in replicas:
        await one.copy.refresh(one.feed)
        assert set((await one.all(stored)).values()) == {"a"}
    async with guard.connection(pool, tenant) as conn:
        entry = await conn.fetchrow("SELECT actor_kind, action, details FROM audit_logs")
        event = await conn.fetchrow("SELECT type, payload FROM outbox WHERE type LIKE '%variant%'")
    assert entry is not None and event is not None
    assert (entry["actor_kind"], entry["action"]) == ("system", "experiment.variant_stopped")
    assert entry["details"]["variant"] == "b"
    assert event["payload"] == {"experiment_id": str(experiment.id), "variant": "b"}


async def test_an_owner_who_stops_meanwhile_is_not_overruled(pool: Pool, tenant: UUID) -> None:
    clock = ShiftedClock()
    replica = Replica(pool, FakeAssignmentCache(), clock)
    experiment = await losing(pool, tenant, replica)
    await PostgresExperiments(pool).stop(experiment, "mine", clock.now())
    assert await PostgresGuardRounds(pool, clock).round(losers) == 0


async def test_outcomes_wait_for_a_database_that_is_away(pool: Pool, tenant: UUID, postgres_dsn: str) -> None:
    """Connections cut in the middle of things: every call is counted, and once."""
    replica = Replica(pool, FakeAssignmentCache(), ShiftedClock())
    experiment = await started(pool, tenant, 50, 50)
    await replica.copy.refresh(replica.feed)
    running = asyncio.create_task(replica.collector.run())
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    for call in range(1500):
        caller = Caller(tenant, USERS[call % len(USERS)])
        assignment = await replica.running.assign(caller, "auto")
        assert assignment is not None
        replica.running.outcome(caller, assignment, settled("answered"))
        if call % 500 == 250:
            flushing = asyncio.create_task(replica.collector.flush())
            await asyncio.sleep(0.002)
            async with guard.connection(pool, guard.OWNER) as conn:
                await conn.fetch(f"{cut} AND pid <> pg_backend_pid()")
            await asyncio.gather(flushing, return_exceptions=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    figures = await PostgresFigures(pool).figures(tenant, experiment.id)
    assert sum(one.arm("tokens").n for one in figures.values()) == 1500
    counts = await PostgresFigures(pool).counts(tenant, experiment.id)
    assert sum(counts.users.values()) == len(USERS)


async def test_batches_are_forgotten_after_a_day(pool: Pool, tenant: UUID) -> None:
    await pool.execute(
        "INSERT INTO experiment_batches VALUES ($1, now() - interval '2 days'), ($2, now())", new_id(), new_id()
    )
    await PostgresGuardRounds(pool, SystemClock()).prune()
    assert await pool.fetchval("SELECT count(*) FROM experiment_batches") == 1


async def test_a_changed_experiment_is_another_version(pool: Pool, tenant: UUID) -> None:
    """Two owners who start from the same version: one of them is told."""
    owners = PostgresExperiments(pool)
    draft = await owners.add(experiment_with(1, 1, tenant_id=tenant, status="draft"), 10)
    both = await asyncio.gather(
        owners.start(draft, time.time()), owners.redraft(replace(draft, name="y")), return_exceptions=True
    )
    assert sum(isinstance(one, Experiment) for one in both) == 1
