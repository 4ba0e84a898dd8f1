"""Experiments on models, in whichever process calls models."""

import asyncio
from functools import partial
from uuid import UUID

from deployments.catalogue import live_catalogue
from deployments.engines import database, feed_pool, redis_link, wakeups
from deployments.events import run_consumer
from deployments.wiring import Nodes
from voicehelper.errors import Unavailable
from voicehelper.events.catalogue import FeedbackGiven
from voicehelper.gateway.experiments_desk import ExperimentsDesk
from voicehelper.identity import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.guard import losers
from voicehelper.models.experiments.guarding import Guardian
from voicehelper.models.experiments.model import Chosen, Exposure
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.experiments.store import Batch
from voicehelper.models.following import TableCopy
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.assignments import RedisAssignments
from voicehelper.stores.postgres.experiments import PostgresExperiments
from voicehelper.stores.postgres.experiments_feedback import PostgresExperimentFeedback
from voicehelper.stores.postgres.experiments_figures import PostgresFigures, PostgresGuardRounds
from voicehelper.stores.postgres.experiments_running import PostgresAssignments, PostgresExperimentFeed
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.telemetry import get_logger

_log = get_logger(__name__)
_AGAIN_S = 1.0


async def experiments(nodes: Nodes) -> RunningExperiments:
    """Those that run now, followed in the background; this process takes part in watching their guard rails. It starts
    without the database too: then with none, until the database is there."""

    async def make() -> RunningExperiments:
        settings, clock, store = nodes.settings.models, SystemClock(), await _store(nodes)
        cache = RedisAssignments(await redis_link(nodes))
        running = RunningExperiments(store, cache, await collector(nodes), clock, float(settings.sticky_s))
        nodes.run("experiments", _follow(nodes, running))
        nodes.run("guard rails", _guard(nodes, store))
        return running

    return await nodes.shared("experiments", make)


async def collector(nodes: Nodes) -> Collector:
    """Of this process; what it holds is written every second, and at the end."""

    async def make() -> Collector:
        made = Collector(await _store(nodes), SystemClock())
        nodes.run("experiment outcomes", made.run())
        return made

    return await nodes.shared("experiment outcomes", make)


async def judged_answers(nodes: Nodes) -> None:
    """Have this process take part in counting thumbs on answers. Raises `Unavailable`."""
    feedback = PostgresExperimentFeedback(await database(nodes))
    await run_consumer(nodes, "experiments", feedback.handle, {FeedbackGiven.type})


async def experiments_desk(nodes: Nodes, accounts: Accounts) -> ExperimentsDesk:
    """What owners of experiments do. Raises `Unavailable` when the database stays away."""
    pool = await database(nodes)
    return ExperimentsDesk(
        store=PostgresExperiments(pool),
        figures=PostgresFigures(pool),
        assignments=PostgresAssignments(pool),
        collector=await collector(nodes),
        acts=Acts(accounts.audit, partial(request_transaction, pool), SystemClock()),
        catalogue=await live_catalogue(nodes),
    )


class _LateStore:
    """`AssignmentStore` and `BatchStore` of a process that does not wait for the database."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self._store: PostgresAssignments | None = None

    def put(self, store: PostgresAssignments) -> None:
        """The database is there."""
        self._store = store
        self.ready.set()

    async def keep(self, tenant_id: UUID, exposure: Exposure) -> Chosen | None:
        return await self._get().keep(tenant_id, exposure)

    async def find(self, tenant_id: UUID, experiment_id: UUID, subject: bytes) -> Chosen | None:
        return await self._get().find(tenant_id, experiment_id, subject)

    async def write(self, batch: Batch) -> None:
        await self._get().write(batch)

    def _get(self) -> PostgresAssignments:
        if self._store is None:
            raise Unavailable("The database is not available")
        return self._store


async def _store(nodes: Nodes) -> _LateStore:
    async def make() -> _LateStore:
        store = _LateStore()
        nodes.try_once("experiments' database", _awaited(nodes, store))
        return store

    return await nodes.shared("experiments' database", make)


async def _awaited(nodes: Nodes, store: _LateStore) -> None:
    while True:
        try:
            store.put(PostgresAssignments(await database(nodes)))
            return
        except Unavailable as error:
            _log.warning("experiments.awaited", error=error.message)
        await asyncio.sleep(_AGAIN_S)


async def _follow(nodes: Nodes, running: RunningExperiments) -> None:
    await (await _store(nodes)).ready.wait()
    while True:
        try:
            feed = PostgresExperimentFeed(await feed_pool(nodes), await wakeups(nodes))
            break
        except Unavailable as error:
            _log.warning("experiments.awaited", error=error.message)
        await asyncio.sleep(_AGAIN_S)
    await TableCopy(running.replace, "experiments").run(feed, nodes.settings.models.refresh_s)


async def _guard(nodes: Nodes, store: _LateStore) -> None:
    await store.ready.wait()
    clock = SystemClock()
    await Guardian(PostgresGuardRounds(await database(nodes), clock), losers, clock).run()
