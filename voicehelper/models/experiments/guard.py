"""When a variant has lost: tests that may be looked at every few seconds for as long as the experiment runs.

A test with a fixed error of 5 % that is repeated until it rejects, rejects sooner or later. These are always valid:
under the hypothesis that the variant is no worse than allowed, the chance that they *ever* stop it is at most the error
asked for.

Means and rates: a mixture sequential probability ratio test (H. Robbins, "Statistical methods related to the law of the
iterated logarithm", Ann. Math. Stat. 41, 1970; R. Johari et al., "Always valid inference: continuous monitoring of A/B
tests", Operations Research 70, 2022), one-sided: the effects mixed over are normal and of one sign. It holds for
estimated variances in the limit (I. Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence
sequences", Ann. Stat. 52, 2024), hence `min_calls`.

95th percentiles: a confidence sequence for quantiles (S. Howard, A. Ramdas, "Sequential estimation of quantiles with
applications to A/B testing and best-arm identification", Bernoulli 28, 2022, theorem 1).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from voicehelper.models.experiments.comparison import NOTHING, Arm, quantile
from voicehelper.models.experiments.model import RATES, Experiment, GuardRail
from voicehelper.models.experiments.statistics import NORMAL, t_tail

ERROR = 0.05
"""The chance, over an experiment's whole life and over all its variants and guard rails, that one is stopped for
nothing."""

_P95 = 0.95


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a variant: its arms by metric, and the bins of its latencies."""

    arms: Mapping[str, Arm]
    bins: Mapping[str, Mapping[int, int]]

    def arm(self, metric: str) -> Arm:
        """Of a metric that was perhaps never seen."""
        return self.arms.get(metric, NOTHING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A variant is to be stopped, for this reason."""

    variant: str
    reason: str


def losers(experiment: Experiment, figures: Mapping[str, Figures]) -> list[Verdict]:
    """Variants that a guard rail stops now, each with the first that does."""
    arms = len(experiment.variants) - 1
    if not experiment.guard_rails or not arms or experiment.control.name not in figures:
        return []
    error = ERROR / (arms * len(experiment.guard_rails))
    control, found = figures[experiment.control.name], []
    for variant in experiment.variants[1:]:
        if variant.stopped_at is not None or variant.name not in figures:
            continue
        reasons = (_broken(rail, figures[variant.name], control, error) for rail in experiment.guard_rails)
        reason = next(filter(None, reasons), "")
        if reason:
            found.append(Verdict(variant.name, reason))
    return found


def _broken(rail: GuardRail, variant: Figures, control: Figures, error: float) -> str:
    """Why the variant breaks the rail; empty where that is not certain."""
    one, other = variant.arm(rail.metric), control.arm(rail.metric)
    if min(one.n, other.n) < max(rail.min_calls, 2):
        return ""
    if rail.statistic == "p95":
        return _slow(rail, variant, control, error)
    if rail.metric in RATES:
        worse, factor = other.mean - rail.margin - one.mean, 1.0
        told = f"{rail.metric} {one.mean:.4f} against {other.mean:.4f} of the control, allowed {rail.margin:g} less"
    else:
        worse, factor = one.mean - rail.factor * other.mean, rail.factor
        told = f"{rail.metric} {one.mean:.6g} against {other.mean:.6g} of the control, allowed {rail.factor:g} times"
    return (
        f"{told}; {one.n} and {other.n} calls" if _certain(worse, (one, other), factor, rail.min_calls, error) else ""
    )


def _certain(worse: float, arms: tuple[Arm, Arm], factor: float, first: int, error: float) -> bool:
    """Whether the first mean is beyond doubt worse than the second (times `factor`), by so much as it seems."""
    one, other = arms
    parts = one.estimate.error**2, (factor * other.estimate.error) ** 2
    variance = sum(parts)
    if worse <= 0 or variance <= 0:
        return False
    freedom = variance**2 / (parts[0] ** 2 / one.estimate.freedom + parts[1] ** 2 / other.estimate.freedom)
    # Errors are estimated from 64 buckets: t, not z. The normal deviate that is as unlikely takes its place.
    z = -NORMAL.inv_cdf(max(t_tail(worse / math.sqrt(variance), freedom), 1e-300))
    information = one.effective * other.effective / (one.effective + other.effective)
    return mixture_ratio(z, information, first / 2, error) >= 1 / error


def mixture_ratio(z: float, information: float, first: float, error: float) -> float:
    """How much better effects of the bad sign explain `z` than none does, in the mean over a half-normal of them.

    `information` is what is known by now, `first` what was at the first look, both in calls; the width of the mixture
    is such that the test is sharpest soon after the first look.
    """
    # Waudby-Smith et al., section 3.4: the width at which the boundary is lowest at a given time.
    log = -2 * math.log(error)
    ratio = information * (log + math.log(log + 1)) / (4 * first)
    shrunk = ratio / (1 + ratio)
    return 2 * NORMAL.cdf(z * math.sqrt(shrunk)) / math.sqrt(1 + ratio) * math.exp(min(700.0, z * z / 2 * shrunk))


def _slow(rail: GuardRail, variant: Figures, control: Figures, error: float) -> str:
    ours, theirs = variant.bins.get(rail.metric, {}), control.bins.get(rail.metric, {})
    reach_ours = _reach(variant.arm(rail.metric).effective, error / 2)
    reach_theirs = _reach(control.arm(rail.metric).effective, error / 2)
    least, most = quantile(ours, _P95 - reach_ours), quantile(theirs, _P95 + reach_theirs)
    if least is None or most is None or reach_ours >= _P95 or least <= rail.factor * most:
        return ""
    told = f"p95 of {rail.metric} {quantile(ours, _P95):.6g} against {quantile(theirs, _P95):.6g} of the control"
    return f"{told}, allowed {rail.factor:g} times; {sum(ours.values())} and {sum(theirs.values())} calls"


def _reach(n: float, error: float) -> float:
    """How far from the quantile's place the true one may lie, at any time: Howard and Ramdas, theorem 1."""
    if n < 2:
        return 1.0
    level = (1.4 * math.log(math.log(2.1 * n)) + math.log(10 / error)) / n
    return 1.5 * math.sqrt(_P95 * (1 - _P95) * level) + 0.8 * level
