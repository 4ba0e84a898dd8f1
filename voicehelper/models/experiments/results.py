"""What an experiment has shown so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from voicehelper.models.experiments.comparison import Arm, quantile
from voicehelper.models.experiments.guard import Figures
from voicehelper.models.experiments.model import GOALS, LATENCIES, RATES, Experiment
from voicehelper.models.experiments.statistics import Difference, Interval, chi_square_tail, t_quantile, welch, wilson

FEWEST_USERS: Final = 30
FEWEST_CALLS: Final = 100
"""Below either of them, in any arm, intervals are not to be trusted: means of skewed values are not normal yet."""

MISMATCH_P: Final = 0.001
"""Users are divided otherwise than the weights say if chance would do so less often: results are not to be trusted then
(A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019)."""

_FEWEST_EXPECTED = 5.0  # users in a cell of the chi-square test


@dataclass(frozen=True, slots=True)
class Assigned:
    """So many users were first given a variant (its place) by weights of a revision."""

    revision: int
    variant: int
    users: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Users: as they were first assigned, and by the variant (its place) they have now."""

    assigned: tuple[Assigned, ...] = ()
    users: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class MetricResult:
    """A variant's values of one metric; the interval is one of 95 %.

    Attributes:
        n: calls (or judgements).
        interval: Wilson's for rates, Student's for means; None where there is but one value.
        design_effect: how many calls of these tell as much as one call of a user with only one.
        against: the difference from the control's mean; None for the control, or where one of both has too few values.
        p50, p95: of latencies.
    """

    n: int
    mean: float
    interval: Interval | None
    design_effect: float
    against: Difference | None = None
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One arm."""

    name: str
    users: int
    calls: int
    metrics: Mapping[str, MetricResult]
    enough: bool


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Whether users are divided as the weights say: chi-square, its degrees of freedom, how likely it is by chance."""

    chi_square: float
    freedom: int
    p: float

    @property
    def found(self) -> bool:
        """Whether something assigns otherwise than it should."""
        return self.p < MISMATCH_P


@dataclass(frozen=True, slots=True)
class Results:
    """All of it.

    Attributes:
        leader: the variant with the best mean of the primary metric; empty before there are values.
        certain: whether it differs from the control (or, as the control, from every other) beyond chance: the interval
            of the difference excludes 0, at one look decided upon before.
    """

    experiment_id: UUID
    variants: tuple[VariantResult, ...]
    mismatch: Mismatch | None
    leader: str
    certain: bool
    warnings: tuple[str, ...]


def results_of(experiment: Experiment, figures: Mapping[str, Figures], counts: Counts) -> Results:
    """The figures of each variant, compared with the control's."""
    nothing = Figures({}, {})
    control = figures.get(experiment.control.name, nothing)
    variants = []
    for place, variant in enumerate(experiment.variants):
        own = figures.get(variant.name, nothing)
        users = (counts.users or {}).get(place, 0)
        variants.append(_variant(variant.name, users, own, None if place == 0 else control))
    mismatch = mismatch_of(experiment, counts.assigned)
    leader, certain = _leader(experiment, variants)
    return Results(experiment.id, tuple(variants), mismatch, leader, certain, _warnings(experiment, variants, mismatch))


def mismatch_of(experiment: Experiment, assigned: tuple[Assigned, ...]) -> Mismatch | None:
    """Of all revisions of the weights together; None where there are too few users. Variants that were stopped are left
    out: nobody is assigned to them any more."""
    chi_square, freedom = 0.0, 0
    live = [place for place, variant in enumerate(experiment.variants) if variant.stopped_at is None]
    for weights in experiment.weights:
        seen = {one.variant: one.users for one in assigned if one.revision == weights.revision}
        shares = {place: weights.shares[place] for place in live if weights.shares[place] > 0}
        users, total = sum(seen.get(place, 0) for place in shares), sum(shares.values())
        expected = {place: users * share / total for place, share in shares.items()}
        if len(expected) < 2 or min(expected.values()) < _FEWEST_EXPECTED:
            continue
        chi_square += sum((seen.get(place, 0) - value) ** 2 / value for place, value in expected.items())
        freedom += len(expected) - 1
    return Mismatch(chi_square, freedom, chi_square_tail(chi_square, freedom)) if freedom else None


def _variant(name: str, users: int, own: Figures, control: Figures | None) -> VariantResult:
    metrics = {}
    for metric, arm in sorted(own.arms.items()):
        other = control.arm(metric) if control is not None else None
        metrics[metric] = _metric(metric, arm, other, own.bins.get(metric, {}))
    calls = own.arm("tokens").n
    enough = users >= FEWEST_USERS and own.arm("success").effective >= FEWEST_CALLS
    return VariantResult(name, users, calls, metrics, enough)


def _metric(metric: str, arm: Arm, control: Arm | None, bins: Mapping[int, int]) -> MetricResult:
    interval = None
    if metric in RATES:
        interval = wilson(arm.mean * arm.effective, arm.effective)
    elif arm.n > 1:
        half = t_quantile(0.975, arm.estimate.freedom) * arm.estimate.error
        interval = Interval(arm.mean - half, arm.mean + half)
    against = welch(arm.estimate, control.estimate) if control and min(arm.n, control.n) > 1 else None
    effect = arm.n / arm.effective if arm.effective else 1.0
    if metric not in LATENCIES:
        return MetricResult(arm.n, arm.mean, interval, effect, against)
    return MetricResult(arm.n, arm.mean, interval, effect, against, quantile(bins, 0.5), quantile(bins, 0.95))


def _leader(experiment: Experiment, variants: list[VariantResult]) -> tuple[str, bool]:
    metric, sign = experiment.primary_metric, 1 if experiment.goal == "more" else -1
    stopped = {variant.name for variant in experiment.variants if variant.stopped_at is not None}
    known = [one for one in variants if metric in one.metrics and one.name not in stopped]
    if not known:
        return "", False
    best = max(known, key=lambda one: sign * one.metrics[metric].mean)
    compared = [best] if best.name != experiment.control.name else [one for one in known if one is not best]
    differences = [one.metrics[metric].against for one in compared]
    sure = [one is not None and not one.interval.low <= 0 <= one.interval.high for one in differences]
    return best.name, bool(sure) and all(sure)


def _warnings(experiment: Experiment, variants: list[VariantResult], mismatch: Mismatch | None) -> tuple[str, ...]:
    found = []
    if not all(one.enough for one in variants):
        found.append("small_sample")
    if mismatch is not None and mismatch.found:
        found.append("sample_ratio_mismatch")
    if experiment.primary_metric not in GOALS and not any(experiment.primary_metric in one.metrics for one in variants):
        found.append("primary_metric_missing")
    if len(experiment.weights) > 1:
        found.append("weights_changed")
    return tuple(found)
