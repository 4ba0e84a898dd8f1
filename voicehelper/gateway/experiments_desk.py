"""Experiments, as the routes see them: whoever changes one is written down in the same transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, Protocol
from uuid import UUID

from voicehelper.errors import Conflict, InvalidInput, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal
from voicehelper.ids import new_id
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.draw import OUTSIDE, bucket_of, cut, draw, subject_of
from voicehelper.models.experiments.guard import Figures
from voicehelper.models.experiments.live import LiveExperiment
from voicehelper.models.experiments.model import Chosen, Experiment, Status, Weights
from voicehelper.models.experiments.results import Counts, Results, results_of
from voicehelper.models.experiments.store import AssignmentStore
from voicehelper.models.ports import Catalogue

MOST = 500
"""Experiments a tenant may keep."""


class ExperimentStore(Protocol):
    """A tenant's experiments. Every method raises `Unavailable`; those that change one raise `NotFound`,
    `VersionConflict` where its version is not that of the one given, and `Conflict` where its status does not allow
    it."""

    async def find(self, tenant_id: UUID, status: Status | None, before: UUID | None, limit: int) -> list[Experiment]:
        """Newest first."""
        ...

    async def get(self, tenant_id: UUID, experiment_id: UUID) -> Experiment:
        """One. Raises `NotFound`."""
        ...

    async def knows(self, tenant_id: UUID, user_id: UUID) -> bool:
        """Whether the tenant has such a user or API key."""
        ...

    async def add(self, experiment: Experiment, most: int) -> Experiment:
        """Raises `Conflict` where the name is taken or there are `most` already."""
        ...

    async def redraft(self, experiment: Experiment) -> Experiment:
        """New values of a draft. Raises `Conflict` where the name is taken."""
        ...

    async def start(self, experiment: Experiment, now: float) -> Experiment:
        """A draft runs from `now` on. Raises `Conflict` where another is running on the same calls."""
        ...

    async def weigh(self, experiment: Experiment, shares: Sequence[float], traffic: float, now: float) -> Experiment:
        """New weights of a running one, which hold from `live.LEAD_S` seconds after `now`."""
        ...

    async def stop(self, experiment: Experiment, reason: str, now: float) -> Experiment:
        """A running one, for good."""
        ...

    async def remove(self, tenant_id: UUID, experiment_id: UUID) -> None:
        """With its results; not a running one."""
        ...


class FigureStore(Protocol):
    """What came of experiments. Every method raises `Unavailable`."""

    async def figures(self, scope: UUID, experiment_id: UUID) -> dict[str, Figures]:
        """By variant."""
        ...

    async def counts(self, scope: UUID, experiment_id: UUID) -> Counts:
        """Of users."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """The variant of a user: `given` as far as is written down, else what he would be given now; empty: none."""

    variant: str
    given: Chosen | None


@dataclass(frozen=True)
class ExperimentsDesk:
    """Use cases of the owners of experiments."""

    store: ExperimentStore
    figures: FigureStore
    assignments: AssignmentStore
    collector: Collector
    acts: Acts
    catalogue: Catalogue | None = None

    async def create(self, by: Principal, wanted: Experiment) -> Experiment:
        """A draft, whose id, tenant and salt are given here. Raises `InvalidInput`, `Conflict`."""
        made = replace(wanted, id=new_id(), tenant_id=by.tenant_id, salt=token_hex(8))
        _check(made)
        async with self.acts.unit(by.tenant_id):
            created = await self.store.add(made, MOST)
            await self._record(by, "created", created)
        return created

    async def redraft(self, by: Principal, experiment_id: UUID, version: int, changes: Mapping[str, Any]) -> Experiment:
        """New values by field of `Experiment`, and `shares` and `traffic` of its weights. Raises `InvalidInput`,
        `NotFound`, `VersionConflict`, `Conflict`."""
        own = {name: value for name, value in changes.items() if name not in {"shares", "traffic"}}
        divided = {name: value for name, value in changes.items() if name not in own}
        async with self.acts.unit(by.tenant_id):
            present = await self.store.get(by.tenant_id, experiment_id)
            weights = (replace(present.weights[-1], **divided),) if divided else present.weights
            wanted = replace(present, version=version, weights=weights, **own)
            _check(wanted)
            changed = await self.store.redraft(wanted)
            await self._record(by, "changed", changed, fields=sorted(changes))
        return changed

    async def start(self, by: Principal, experiment_id: UUID, version: int) -> Experiment:
        """Raises `InvalidInput` for models that the tenant has not, and as the store does."""
        async with self.acts.unit(by.tenant_id):
            present = await self.store.get(by.tenant_id, experiment_id)
            self._check_models(present)
            started = await self.store.start(replace(present, version=version), self.acts.clock.now())
            await self._record(by, "started", started)
        return started

    async def weigh(
        self, by: Principal, experiment_id: UUID, version: int, weights: Mapping[str, float], traffic: float | None
    ) -> Experiment:
        """`weights` by variant; all of them. Raises `InvalidInput`, and as the store does."""
        async with self.acts.unit(by.tenant_id):
            present = await self.store.get(by.tenant_id, experiment_id)
            names = [variant.name for variant in present.variants]
            if sorted(names) != sorted(weights):
                raise InvalidInput("Every variant needs a weight, and no other", {"variants": names})
            last = present.weights[-1]
            shares = tuple(weights[name] for name in names)
            share = last.traffic if traffic is None else traffic
            _check(replace(present, weights=(replace(last, shares=shares),)))
            wanted = replace(present, version=version)
            changed = await self.store.weigh(wanted, shares, share, self.acts.clock.now())
            await self._record(by, "weights_changed", changed, weights=dict(weights), traffic=share)
        return changed

    async def stop(self, by: Principal, experiment_id: UUID, version: int, reason: str) -> Experiment:
        """As the store."""
        async with self.acts.unit(by.tenant_id):
            present = await self.store.get(by.tenant_id, experiment_id)
            stopped = await self.store.stop(replace(present, version=version), reason, self.acts.clock.now())
            await self._record(by, "stopped", stopped)
        return stopped

    async def delete(self, by: Principal, experiment_id: UUID) -> None:
        """As the store."""
        async with self.acts.unit(by.tenant_id):
            await self.store.remove(by.tenant_id, experiment_id)
            await self.acts.audit.record(act_of(by, "experiment.deleted", "experiment", experiment_id))

    async def results(self, by: Principal, experiment_id: UUID) -> tuple[Experiment, Results]:
        """What it has shown so far. Raises `NotFound`."""
        experiment = await self.store.get(by.tenant_id, experiment_id)
        figures = await self.figures.figures(by.tenant_id, experiment_id)
        counts = await self.figures.counts(by.tenant_id, experiment_id)
        return experiment, results_of(experiment, figures, counts)

    async def assignment(self, by: Principal, experiment_id: UUID, user: str) -> Drawn:
        """Of a user or key of the tenant, or of any name that is no id. Raises `NotFound`."""
        experiment = await self.store.get(by.tenant_id, experiment_id)
        identifier = _identifier(user)
        if identifier is not None and not await self.store.knows(by.tenant_id, identifier):
            raise NotFound("No such user or API key")
        drawn, now = draw(experiment.id, experiment.salt, str(identifier or user)), self.acts.clock.now()
        given = await self.assignments.find(by.tenant_id, experiment.id, subject_of(drawn))
        held = given is not None and given.until > now
        live = LiveExperiment(experiment)
        place = given.variant if given and held else live.present(now).variant(drawn)
        return Drawn("" if place == OUTSIDE else live.assignments[place].variant, given if held else None)

    async def outcome(self, by: Principal, experiment_id: UUID, user: str, metric: str, value: float) -> str:
        """One value of a metric of the tenant's own, or of `feedback`; returns the variant it counts for.

        Raises:
            NotFound: no such experiment.
            Conflict: the user has taken no part in it yet (which is known a second or two after his first call).
        """
        experiment = await self.store.get(by.tenant_id, experiment_id)
        drawn = draw(experiment.id, experiment.salt, user)
        given = await self.assignments.find(by.tenant_id, experiment.id, subject_of(drawn))
        if given is None:
            raise Conflict("The user has taken no part in the experiment")
        variant = experiment.variants[given.variant].name
        self.collector.add(experiment.id, variant, metric, bucket_of(drawn), value)
        return variant

    def _check_models(self, experiment: Experiment) -> None:
        if self.catalogue is None:
            return
        known = self.catalogue.of(experiment.tenant_id)
        asked = {model for variant in experiment.variants for model in variant.models}
        unknown = sorted(model for model in asked if model not in known or known[model].kind != "chat")
        if unknown:
            raise InvalidInput("No such chat models", {"models": unknown})

    async def _record(self, by: Principal, verb: str, experiment: Experiment, **facts: Any) -> None:
        facts |= {"name": experiment.name, "version": experiment.version}
        await self.acts.audit.record(act_of(by, f"experiment.{verb}", "experiment", experiment.id, **facts))


def _identifier(user: str) -> UUID | None:
    try:
        return UUID(user)
    except ValueError:
        return None


def first_weights(shares: Sequence[float], traffic: float) -> tuple[Weights, ...]:
    """Of a draft."""
    return (Weights(1, 0.0, tuple(shares), traffic),)


def _check(experiment: Experiment) -> None:
    names = [variant.name for variant in experiment.variants]
    if len(set(names)) < len(names):
        raise InvalidInput("Variants need names of their own")
    if len(experiment.weights[-1].shares) != len(names):
        raise InvalidInput("Every variant needs a weight")
    if (experiment.target.kind == "all") != (not experiment.target.name):
        raise InvalidInput("A target is `all`, or has a name")
    try:
        cut(experiment.weights[-1])
    except ValueError as error:
        raise InvalidInput(str(error)) from error
