"""Whoever has a variant keeps it for a day, on whatever replica, whatever becomes of weights, Redis and PostgreSQL."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.fakes.experiments import FakeAssignmentCache, FakeAssignments, experiment_with
from tests.fakes.virtual_time import virtual_time
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.live import LEAD_S, LiveExperiment
from voicehelper.models.experiments.model import Experiment, Target, Variant, Weights
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.model import Caller, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import FakeClock

DAY = 86_400.0
USERS = [f"user-{n}" for n in range(300)]


class Replica:
    """A process. All of them share stores."""

    def __init__(self, store: FakeAssignments, cache: FakeAssignmentCache, clock: FakeClock) -> None:
        self.collector = Collector(store, clock)
        self.running = RunningExperiments(store, cache, self.collector, clock, DAY)

    async def of(self, experiment: Experiment, user: str) -> str | None:
        assignment = await self.running.assign(Caller(experiment.tenant_id, user), "auto")
        return assignment.variant if assignment else None

    async def all(self, experiment: Experiment) -> dict[str, str | None]:
        return {user: await self.of(experiment, user) for user in USERS}


class World:
    """Replicas, their stores and the time."""

    def __init__(self, replicas: int = 2) -> None:
        self.store, self.cache, self.clock = FakeAssignments(), FakeAssignmentCache(), FakeClock()
        self.replicas = [self.replica() for _ in range(replicas)]

    def replica(self) -> Replica:
        return Replica(self.store, self.cache, self.clock)

    def tell(self, *experiments: Experiment) -> None:
        for one in self.replicas:
            one.running.replace(experiments)

    async def flush(self) -> None:
        for one in self.replicas:
            await one.collector.flush()

    def reweighed(self, experiment: Experiment, *shares: float, traffic: float = 1.0) -> Experiment:
        last = experiment.weights[-1]
        new = Weights(last.revision + 1, self.clock.now() + LEAD_S, shares, traffic)
        return replace(experiment, weights=(*experiment.weights, new))


async def change(world: World, experiment: Experiment, *shares: float, traffic: float = 1.0) -> Experiment:
    """As it happens: told, and in force some seconds later, when everything is written down."""
    changed = world.reweighed(experiment, *shares, traffic=traffic)
    world.tell(changed)
    await world.flush()
    world.clock.time += LEAD_S + 0.1
    return changed


async def test_without_a_change_nobody_is_asked() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    first = await world.replicas[0].all(experiment)
    world.store.away = world.cache.away = True
    assert await world.replicas[1].all(experiment) == first
    world.clock.time += 10 * DAY
    assert await world.replicas[0].all(experiment) == first
    assert world.store.asked == 0


async def test_who_was_there_keeps_his_variant_for_a_day_on_every_replica_without_redis() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.cache.away = True
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    changed = await change(world, experiment, 10, 90)
    world.replicas.append(world.replica())  # one that starts now
    world.tell(changed)
    for hours in (0, 1, 12, 23.9):
        world.clock.time = 1_700_000_000 + hours * 3600 + LEAD_S + 1
        for one in world.replicas:
            assert await one.all(changed) == before
    world.clock.time = 1_700_000_000 + DAY + 10
    after = [await one.all(changed) for one in world.replicas]
    assert after[0] == after[1] == after[2] != before
    assert abs(sum(v == "a" for v in after[0].values()) / len(USERS) - 0.1) < 0.05
    asked, moved = world.store.asked, sum(before[user] != after[0][user] for user in USERS)
    assert asked <= 6 * moved + 1, "only those whom the change moves are asked about, once a replica and day"


async def test_who_comes_after_the_change_is_drawn_by_the_new_weights() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    changed = await change(world, experiment, 0, 100)
    got = await world.replicas[0].all(changed)
    assert set(got.values()) == {"b"}
    assert await world.replicas[1].all(changed) == got


async def test_while_the_change_is_on_its_way_replicas_agree() -> None:
    """Told but not in force: whoever is new is still drawn by the old weights, and everybody knows."""
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    changed = world.reweighed(experiment, 0, 100)
    world.tell(changed)
    world.clock.time += 1
    early = await world.replicas[0].all(changed)
    assert set(early.values()) == {"a", "b"}
    world.clock.time += LEAD_S
    assert await world.replicas[1].all(changed) == early


async def test_assigned_unasked_by_a_replica_that_was_told_late() -> None:
    """What it assigned is written down before the change is in force."""
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    changed = world.reweighed(experiment, 0, 100)
    world.replicas[1].running.replace([changed])
    world.clock.time += 2
    late = await world.replicas[0].all(experiment)
    await world.flush()
    world.replicas[0].running.replace([changed])
    world.clock.time += LEAD_S
    assert await world.replicas[1].all(changed) == late
    assert await world.replicas[0].all(changed) == late


async def test_several_changes_in_a_day() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    changed = experiment
    for shares in ((90, 10), (10, 90), (50, 50), (1, 99)):
        changed = await change(world, changed, *shares)
        world.clock.time += 3600
        assert await world.replicas[1].all(changed) == before


async def test_without_any_store_those_who_were_there_before_the_change_keep_theirs() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    changed = await change(world, experiment, 10, 90)
    world.store.away = world.cache.away = True
    fresh = world.replica()
    fresh.running.replace([changed])
    assert await fresh.all(changed) == before
    world.store.away = False  # it is asked again soon
    world.clock.time += 6
    assert await fresh.all(changed) == before
    assert world.store.asked > 0


@virtual_time
async def test_nobody_waits_long_for_a_database_that_hangs() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    changed = await change(world, experiment, 10, 90)
    world.store.hangs = True
    moved = next(user for user in USERS if before[user] == "a" and drawn_for(changed, user) == 1)
    begun = asyncio.get_running_loop().time()
    assert await world.replicas[1].of(changed, moved) == "a"
    assert await world.replicas[1].of(changed, moved) == "a"
    assert asyncio.get_running_loop().time() - begun < 1.5


def drawn_for(experiment: Experiment, user: str) -> int:
    live = LiveExperiment(experiment)
    return live.cuts[-1].variant(live.draw(user))


async def test_redis_spares_the_database() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    changed = await change(world, experiment, 10, 90)
    await world.replicas[0].all(changed)
    asked = world.store.asked
    assert await world.replicas[1].all(changed) == before
    assert world.store.asked == asked > 0


async def test_more_traffic_lets_people_in_at_the_moment_it_holds() -> None:
    world = World()
    experiment = experiment_with(50, 50, weights=(Weights(1, 0.0, (50, 50), 0.1),))
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    assert 0 < sum(one is not None for one in before.values()) < 60
    changed = world.reweighed(experiment, 50, 50, traffic=1.0)
    world.tell(changed)
    await world.flush()
    assert await world.replicas[0].all(changed) == before
    world.clock.time += LEAD_S + 0.1
    after = [await one.all(changed) for one in world.replicas]
    assert after[0] == after[1] and None not in after[0].values()
    assert all(after[0][user] == variant for user, variant in before.items() if variant)


async def test_less_traffic_lets_nobody_go_before_his_day_is_over() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    half = USERS[:150]
    before = {user: await world.replicas[0].of(experiment, user) for user in half}
    changed = await change(world, experiment, 50, 50, traffic=0.0)
    for one in world.replicas:
        got = await one.all(changed)
        assert {user: got[user] for user in half} == before
        assert {got[user] for user in USERS[150:]} == {None}
    world.clock.time += DAY
    assert set((await world.replicas[0].all(changed)).values()) == {None}


async def test_a_stopped_variants_users_move_to_the_control_at_once_and_are_not_counted() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    before = await world.replicas[0].all(experiment)
    stopped = Variant("b", ("m-b",), stopped_at=world.clock.now(), reason="dear")
    world.tell(replace(experiment, variants=(experiment.variants[0], stopped)))
    await world.flush()
    exposed = len(world.store.rows)
    for user, variant in before.items():
        assignment = await world.replicas[0].running.assign(Caller(experiment.tenant_id, user), "auto")
        assert (assignment.variant, assignment.models) == ("a", ("m-a",))
        assert assignment.counted == (variant == "a")
        world.replicas[0].running.outcome(Caller(experiment.tenant_id, user), assignment, settled())
    newcomers = [await world.replicas[1].of(experiment, f"new-{n}") for n in range(50)]
    assert set(newcomers) == {"a"}
    await world.flush()
    calls = sum(tally.n for key, tally in world.store.tallies.items() if key[2] == "tokens")
    assert calls == sum(variant == "a" for variant in before.values())
    assert exposed < len(world.store.rows) < exposed + 50, "of the newcomers, those drawn for the control"


async def test_which_experiment_applies() -> None:
    tenant = uuid4()
    by_model = experiment_with(1, tenant_id=tenant, name="model", variants=(Variant("a"),))
    by_feature = replace(by_model, id=uuid4(), name="feature", target=Target("feature", "answer"))
    of_all = replace(by_model, id=uuid4(), name="all", target=Target("all"))
    world = World(1)
    world.tell(of_all, by_feature, by_model)
    running = world.replicas[0].running

    async def name(model: str, feature: str, tenant_id: object = tenant) -> str:
        assignment = await running.assign(Caller(tenant_id, "u", "", feature), model)
        return assignment.experiment if assignment else ""

    assert await name("auto", "answer") == "model"
    assert await name("other", "answer") == "feature"
    assert await name("other", "summary") == "all"
    assert await name("auto", "answer", uuid4()) == ""
    world.tell(of_all, replace(by_model, id=uuid4(), weights=(Weights(1, 0.0, (1,), 0.0),)))
    assert await name("auto", "answer") == "", "the one on the model decides, and its user takes no part"
    world.tell()
    assert await name("auto", "answer") == ""


async def test_calls_without_a_user_go_by_their_key_and_nobody_is_nobody() -> None:
    world, experiment = World(), experiment_with(50, 50)
    world.tell(experiment)
    keys = [Caller(experiment.tenant_id, "", f"key-{n}") for n in range(50)]
    one, other = [[await r.running.assign(key, "auto") for key in keys] for r in world.replicas]
    assert one == other and len({assignment.variant for assignment in one}) == 2
    assert await world.replicas[0].running.assign(Caller(experiment.tenant_id), "auto") is None


async def test_exposure_is_written_once_a_user_and_day() -> None:
    world, experiment = World(1), experiment_with(50, 50)
    world.tell(experiment)
    for _ in range(3):
        await world.replicas[0].all(experiment)
    await world.flush()
    assert len(world.store.rows) == len(USERS) and len(world.store.batches) == 1
    await world.replicas[0].all(experiment)
    await world.flush()
    assert len(world.store.batches) == 1
    world.clock.time += DAY
    await world.replicas[0].all(experiment)
    await world.flush()
    assert len(world.store.batches) == 2


def settled(outcome: str = "answered", first_ms: float | None = 50.0) -> Settlement:
    return Settlement(ChatUsage(10, 5), 700, outcome, 400.0, first_ms)


@pytest.mark.parametrize(
    ("settlement", "counted"),
    [
        (settled(), {"success": 1, "ms": 400, "first_ms": 50, "cost_micros": 700, "tokens": 15}),
        (settled("broken"), {"success": 0, "first_ms": 50, "cost_micros": 700, "tokens": 15}),
        (settled("50302", None), {"success": 0, "cost_micros": 700, "tokens": 15}),
        (settled("cancelled", None), {"cost_micros": 700, "tokens": 15}),
    ],
)
async def test_what_is_counted_of_a_call(settlement: Settlement, counted: dict[str, float]) -> None:
    world, experiment = World(1), experiment_with(50, 50)
    world.tell(experiment)
    running, caller = world.replicas[0].running, Caller(experiment.tenant_id, "u")
    assignment = await running.assign(caller, "auto")
    running.outcome(caller, assignment, settlement)
    await world.flush()
    assert {key[2]: tally.total for key, tally in world.store.tallies.items()} == counted
    assert {key[1] for key in world.store.tallies} == {assignment.variant}
    assert len({key[3] for key in world.store.tallies}) == 1
    assert {key[2] for key in world.store.bins} == counted.keys() & {"ms", "first_ms"}
