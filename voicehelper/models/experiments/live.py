"""The running experiments of all tenants, laid out so that a call finds its own by looking into two dictionaries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from voicehelper.models.experiments.draw import Cut, cut, draw
from voicehelper.models.experiments.model import Experiment
from voicehelper.models.model import Assignment

MARGIN_S = 60.0
"""More than clocks of replicas differ."""

LEAD_S = 5.0
"""Changed weights hold so long after the change: every replica knows of it by then, and what was assigned without
asking is written down."""


class LiveExperiment:
    """A running experiment, ready to assign."""

    __slots__ = ("assignments", "cuts", "experiment", "id", "revision", "tenant_id")

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.id = experiment.id
        self.tenant_id = experiment.tenant_id
        self.cuts: tuple[Cut, ...] = tuple(map(cut, experiment.weights))
        self.revision = experiment.weights[-1].revision
        self.assignments = tuple(_assignment(experiment, place) for place in range(len(experiment.variants)))

    def draw(self, user: str) -> bytes:
        """See `draw.draw`."""
        return draw(self.id, self.experiment.salt, user)

    def present(self, now: float) -> Cut:
        """The weights in force; the first ones, for a clock that is behind."""
        return next((one for one in reversed(self.cuts) if one.weights.since <= now), self.cuts[0])

    def next_change(self, now: float) -> float:
        """When other weights will hold, as far as is known; infinity where none are."""
        return min((one.weights.since for one in self.cuts if one.weights.since > now), default=float("inf"))

    def possible(self, drawn: bytes, now: float, sticky_s: float) -> list[int]:
        """The variants that somebody may have been given within the last `sticky_s` seconds, or will be in a moment,
        by weights then in force; oldest first. Where all are the same, nobody need be asked which it was."""
        found = []
        for place, one in enumerate(self.cuts):
            ended = self.cuts[place + 1].weights.since if place + 1 < len(self.cuts) else now
            if one.weights.since <= now + MARGIN_S and ended >= now - sticky_s - MARGIN_S:
                found.append(one.variant(drawn))
        return found or [self.cuts[0].variant(drawn)]


def _assignment(experiment: Experiment, place: int) -> Assignment:
    """Of a stopped variant: the control's, which is not counted, so that its figures stay those of users drawn for it
    (sent over to it are users who had seen another variant)."""
    stopped = place > 0 and experiment.variants[place].stopped_at is not None
    variant = experiment.control if stopped else experiment.variants[place]
    return Assignment(
        experiment_id=experiment.id,
        experiment=experiment.name,
        variant=variant.name,
        models=variant.models,
        overrides=variant.overrides,
        counted=not stopped,
    )


@dataclass(slots=True)
class Targets:
    """A tenant's running experiments by what they run on."""

    models: dict[str, LiveExperiment] = field(default_factory=dict)
    features: dict[str, LiveExperiment] = field(default_factory=dict)
    all: LiveExperiment | None = None

    def of(self, model: str, feature: str) -> LiveExperiment | None:
        """The one for such a call. One that names the model comes before one that names the feature, before one on all
        calls; the first of them decides, also where its user takes no part in it."""
        return self.models.get(model) or self.features.get(feature) or self.all


def by_tenant(experiments: Iterable[LiveExperiment]) -> dict[UUID, Targets]:
    """All of them; of two on the same target, which the database refuses, the later one."""
    found: dict[UUID, Targets] = {}
    for live in experiments:
        targets, target = found.setdefault(live.tenant_id, Targets()), live.experiment.target
        if target.kind == "model":
            targets.models[target.name] = live
        elif target.kind == "feature":
            targets.features[target.name] = live
        else:
            targets.all = live
    return found
