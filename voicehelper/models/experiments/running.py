"""`Experiments` in a process: who gets which variant, and what came of it."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.draw import OUTSIDE, bucket_of, subject_of
from voicehelper.models.experiments.live import LiveExperiment, Targets, by_tenant
from voicehelper.models.experiments.model import Chosen, Experiment, Exposure
from voicehelper.models.experiments.store import AssignmentCache, AssignmentStore
from voicehelper.models.model import Assignment, Caller, Settlement
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_DAY_S = 86_400.0
_ASK_AGAIN_S = 5.0
_PATIENCE_S = 1.0  # a call waits no longer for a database that hangs
_MOST_HELD = 200_000  # users remembered; some 60 MB


class RunningExperiments:
    """Assigns from memory.

    A user's variant follows from his hash and the weights, so as a rule nothing is asked. Only while weights changed
    within the last `sticky_s` seconds, and only about those users whom the change would move, is the store asked (once
    a process): it knows whether a user was assigned before the change, and then he keeps his variant for `sticky_s`
    seconds after that. Changed weights hold some seconds after they are known (`LEAD_S`), so that what was assigned
    without asking is in the store by then.

    Args:
        store, cache: who has what. `cache` is asked first and may be away; without `store` too, the oldest weights that
            may still matter decide, which is right for everybody who was there before the change.
        collector: where exposures and outcomes go.
        clock: the time.
        sticky_s: how long a user keeps his variant though weights change.
    """

    def __init__(
        self, store: AssignmentStore, cache: AssignmentCache, collector: Collector, clock: Clock, sticky_s: float
    ) -> None:
        self._store = store
        self._cache = cache
        self._collector = collector
        self._clock = clock
        self._sticky_s = sticky_s
        self._targets: dict[UUID, Targets] = {}
        self._live: dict[UUID, LiveExperiment] = {}
        self._held: dict[tuple[UUID, str], Chosen] = {}

    def replace(self, experiments: Iterable[Experiment]) -> None:
        """These run from now on, and no others."""
        before, self._live = self._live, {one.id: LiveExperiment(one) for one in experiments}
        self._targets = by_tenant(self._live.values())
        if before.keys() - self._live.keys():
            self._held = {key: chosen for key, chosen in self._held.items() if key[0] in self._live}

    async def assign(self, caller: Caller, model: str) -> Assignment | None:
        """See `Experiments`. Waits for nothing but in the case the class tells of."""
        targets = self._targets.get(caller.tenant_id)
        live = targets.of(model, caller.feature) if targets is not None else None
        user = caller.user_id or caller.key_id
        if live is None or not user:
            return None
        now = self._clock.now()
        chosen = self._held.get((live.id, user))
        if chosen is None or chosen.until <= now or chosen.revision != live.revision:
            chosen = await self._choose(live, user, now, chosen)
        return live.assignments[chosen.variant] if chosen.variant != OUTSIDE else None

    def outcome(self, caller: Caller, assignment: Assignment, settlement: Settlement) -> None:
        """See `Experiments`. A call that its reader ended is no failure: it counts for cost and tokens only."""
        live = self._live.get(assignment.experiment_id)
        if live is None or not assignment.counted:
            return
        bucket = bucket_of(live.draw(caller.user_id or caller.key_id))
        usage = settlement.usage
        values: dict[str, float] = {
            "cost_micros": settlement.cost_micros,
            "tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        answered = settlement.outcome == "answered"
        if settlement.outcome != "cancelled":
            values["success"] = answered
        for metric, value in values.items():
            self._collector.add(live.id, assignment.variant, metric, bucket, value)
        if answered:
            self._collector.add(live.id, assignment.variant, "ms", bucket, settlement.ms)
        if settlement.first_ms is not None:
            self._collector.add(live.id, assignment.variant, "first_ms", bucket, settlement.first_ms)

    async def _choose(self, live: LiveExperiment, user: str, now: float, held: Chosen | None) -> Chosen:
        """The user's variant, and that it is known for the next time; he is exposed."""
        drawn, present = live.draw(user), live.present(now)
        possible = live.possible(drawn, now, self._sticky_s)
        fresh = Chosen(present.variant(drawn), now, now + self._sticky_s, present.weights.revision)
        known = held if held is not None and held.until > now else None
        chosen, sure_until = known or fresh, now + _DAY_S
        if len(set(possible)) > 1:
            found = await self._ask(live, subject_of(drawn), chosen, now)
            if found is None:
                sure_until = now + _ASK_AGAIN_S
                chosen = replace(chosen, variant=next((p for p in possible if p != OUTSIDE), OUTSIDE))
            chosen = found or chosen
        if chosen.variant == OUTSIDE:
            sure_until = min(sure_until, live.next_change(now))
        elif live.assignments[chosen.variant].counted:
            self._collector.expose(Exposure(live.id, subject_of(drawn), chosen))
        self._hold((live.id, user), replace(chosen, revision=live.revision, until=min(chosen.until, sure_until)))
        return chosen

    async def _ask(self, live: LiveExperiment, subject: bytes, wanted: Chosen, now: float) -> Chosen | None:
        """What the user has by the store, `wanted` where he has nothing; None where it is away."""
        found = await self._cached(live, subject, now)
        if found is not None:
            return found
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if wanted.variant == OUTSIDE:
                    kept = await self._store.find(live.tenant_id, live.id, subject)
                else:
                    kept = await self._store.keep(live.tenant_id, Exposure(live.id, subject, wanted))
        except (Unavailable, TimeoutError) as error:
            log.warning("experiments.assigned_unasked", experiment=str(live.id), error=type(error).__name__)
            return None
        if kept is None or kept.until <= now:
            return wanted
        await self._remember(live, subject, kept)
        return kept

    async def _cached(self, live: LiveExperiment, subject: bytes, now: float) -> Chosen | None:
        try:
            found = await self._cache.get(live.tenant_id, live.id, subject)
        except Unavailable:
            return None
        return found if found is not None and found.until > now else None

    async def _remember(self, live: LiveExperiment, subject: bytes, chosen: Chosen) -> None:
        try:
            await self._cache.put(live.tenant_id, live.id, subject, chosen, self._clock.now())
        except Unavailable:
            return

    def _hold(self, key: tuple[UUID, str], chosen: Chosen) -> None:
        self._held.pop(key, None)
        self._held[key] = chosen
        if len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]
