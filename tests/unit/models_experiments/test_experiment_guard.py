"""Guard rails looked at again and again: how often they stop a variant that is no worse, and one that is."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from tests.fakes.experiments import experiment_with
from voicehelper.models.experiments.collector import bin_of
from voicehelper.models.experiments.comparison import arm
from voicehelper.models.experiments.guard import ERROR, Figures, losers, mixture_ratio
from voicehelper.models.experiments.model import RATES, Experiment, GuardRail
from voicehelper.models.experiments.store import Tally

LOOKS, PER_LOOK = 30, 100
Draw = Callable[[np.random.Generator, int], "np.ndarray[Any, Any]"]


@dataclass
class FakeTraffic:
    """Calls of one variant: of users who are alike, or of `users` whose own rates differ widely."""

    draw: Draw
    metric: str
    users: int = 0
    sums: Any = field(default_factory=lambda: np.zeros((3, 64)))
    bins: dict[int, int] = field(default_factory=dict)
    own: Any = None

    def serve(self, rng: np.random.Generator) -> Figures:
        buckets = rng.integers(0, 64, PER_LOOK)
        values = self.draw(rng, PER_LOOK)
        if self.users:
            if self.own is None:
                self.own = rng.integers(0, 64, self.users), rng.beta(1.8, 0.2, self.users)  # 0.9 in the mean
            who = rng.integers(0, self.users, PER_LOOK)
            buckets, values = self.own[0][who], (rng.random(PER_LOOK) < self.own[1][who]).astype(float)
        for place, weights in enumerate((None, values, values**2)):
            self.sums[place] += np.bincount(buckets, weights, minlength=64)
        if self.metric == "ms":
            for value in values:
                self.bins[bin_of(value)] = self.bins.get(bin_of(value), 0) + 1
        tallies = {bucket: Tally(int(n), total, squares) for bucket, (n, total, squares) in enumerate(self.sums.T)}
        return Figures({self.metric: arm(tallies, rate=self.metric in RATES)}, {self.metric: dict(self.bins)})


def stopped(experiment: Experiment, metric: str, draws: dict[str, Draw], runs: int, users: int = 0) -> float:
    """The share of experiments in which some variant is stopped, looked at 30 times."""
    rng, stops = np.random.default_rng(20261123), 0
    for _ in range(runs):
        traffic = {variant.name: FakeTraffic(draws[variant.name], metric, users) for variant in experiment.variants}
        looks = ({name: one.serve(rng) for name, one in traffic.items()} for _ in range(LOOKS))
        stops += any(losers(experiment, figures) for figures in looks)
    return stops / runs


def rate(p: float) -> Draw:
    return lambda rng, n: (rng.random(n) < p).astype(float)


def skewed(median: float, sigma: float = 1.0) -> Draw:
    return lambda rng, n: rng.lognormal(math.log(median), sigma, n)


SUCCESS, COST = GuardRail("success"), GuardRail("cost_micros")
SLOW = GuardRail("ms", "p95", min_calls=500)


@pytest.mark.parametrize(
    ("rail", "draw", "arms", "users"),
    [
        (SUCCESS, rate(0.97), 2, 0),
        (SUCCESS, rate(0.5), 2, 0),
        (SUCCESS, rate(0.999), 2, 0),
        (SUCCESS, rate(0.9), 4, 0),
        (SUCCESS, rate(0.9), 2, 100),
        (COST, skewed(100), 2, 0),
        (COST, skewed(100, 2.0), 2, 0),
        (SLOW, skewed(400, 0.6), 2, 0),
    ],
)
def test_a_variant_that_is_no_worse_is_rarely_stopped(rail: GuardRail, draw: Draw, arms: int, users: int) -> None:
    """Never in more than one experiment of twenty, with thirty looks at each and no allowance at all."""
    experiment = experiment_with(*[1] * arms, guard_rails=(rail,))
    draws = {variant.name: draw for variant in experiment.variants}
    assert stopped(experiment, rail.metric, draws, 100, users) <= ERROR


def test_users_who_differ_would_fool_a_test_that_takes_calls_for_independent() -> None:
    """Why variances come from buckets of users: with each call for itself, more than one in twenty is stopped."""
    rng, stops = np.random.default_rng(3), 0
    for _ in range(60):
        pair = FakeTraffic(rate(0.9), "success", 100), FakeTraffic(rate(0.9), "success", 100)
        z = 0.0
        for look in range(1, LOOKS + 1):
            one, other = (traffic.serve(rng).arms["success"] for traffic in pair)
            pooled = (one.total + other.total) / (one.n + other.n)
            error = math.sqrt(max(pooled * (1 - pooled), 1e-6) * (1 / one.n + 1 / other.n))
            z = (other.mean - one.mean) / error
            if look > 1 and mixture_ratio(z, one.n / 2, 100, ERROR) >= 1 / ERROR:
                stops += 1
                break
    assert stops / 60 > ERROR


@pytest.mark.parametrize(
    ("rail", "good", "bad"),
    [
        (SUCCESS, rate(0.97), rate(0.90)),
        (GuardRail("success", margin=0.02), rate(0.97), rate(0.85)),
        (GuardRail("cost_micros", factor=1.5), skewed(100), skewed(250)),
        (GuardRail("ms", factor=1.2), skewed(400, 0.6), skewed(800, 0.6)),
        (GuardRail("ms", "p95", factor=1.2, min_calls=500), skewed(400, 0.6), skewed(1200, 0.6)),
    ],
)
def test_a_clear_loss_is_stopped(rail: GuardRail, good: Draw, bad: Draw) -> None:
    experiment = experiment_with(1, 1, guard_rails=(rail,))
    assert stopped(experiment, rail.metric, {"a": good, "b": bad}, 20) == 1.0


@pytest.mark.parametrize(
    ("rail", "good", "bad"),
    [
        (GuardRail("success", margin=0.05), rate(0.97), rate(0.95)),
        (GuardRail("cost_micros", factor=1.5), skewed(100), skewed(120)),
        (GuardRail("ms", "p95", factor=1.5, min_calls=500), skewed(400, 0.6), skewed(500, 0.6)),
    ],
)
def test_a_loss_that_is_allowed_is_not(rail: GuardRail, good: Draw, bad: Draw) -> None:
    experiment = experiment_with(1, 1, guard_rails=(rail,))
    assert stopped(experiment, rail.metric, {"a": good, "b": bad}, 40) <= ERROR


def figures(successes: int, n: int) -> Figures:
    tallies = {bucket: Tally(n // 64, successes / 64, successes / 64) for bucket in range(64)}
    return Figures({"success": arm(tallies, rate=True)}, {})


def test_the_verdict_names_the_variant_and_says_why() -> None:
    experiment = experiment_with(1, 1, 1, guard_rails=(COST, SUCCESS))
    (verdict,) = losers(experiment, {"a": figures(620, 640), "b": figures(620, 640), "c": figures(320, 640)})
    assert verdict.variant == "c"
    assert verdict.reason == "success 0.5000 against 0.9688 of the control, allowed 0 less; 640 and 640 calls"


def test_nothing_is_judged_before_there_are_calls_enough_or_without_rails() -> None:
    bad = {"a": figures(128, 128), "b": figures(0, 128)}
    assert losers(experiment_with(1, 1, guard_rails=(SUCCESS,)), bad) == []
    assert losers(experiment_with(1, 1), bad) == []
    assert losers(experiment_with(1, 1, guard_rails=(GuardRail("success", min_calls=100),)), bad)
    assert losers(experiment_with(1, 1, guard_rails=(SUCCESS,)), {}) == []


def test_the_control_and_a_stopped_variant_are_not_stopped() -> None:
    experiment = experiment_with(1, 1, guard_rails=(SUCCESS,))
    assert losers(experiment, {"a": figures(64, 640), "b": figures(640, 640)}) == []
    gone = replace(experiment.variants[1], stopped_at=1.0)
    over = replace(experiment, variants=(experiment.variants[0], gone))
    assert losers(over, {"a": figures(640, 640), "b": figures(64, 640)}) == []


def test_the_mixture_is_a_mixture() -> None:
    """The closed form against the integral over half-normal effects of the ratio of likelihoods."""
    z, information, first, error = 2.7, 900.0, 100.0, 0.05
    log = -2 * math.log(error)
    width = math.sqrt((log + math.log(log + 1)) / (4 * first))
    effects = np.linspace(0, 12 * width, 200_001)
    score, prior = z * math.sqrt(information), np.sqrt(2 / np.pi) / width * np.exp(-(effects**2) / (2 * width**2))
    integral = np.trapezoid(np.exp(effects * score - effects**2 * information / 2) * prior, effects)
    assert mixture_ratio(z, information, first, error) == pytest.approx(integral, rel=1e-6)
