"""What results say: intervals, who leads, whether users are divided as they should be."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.fakes.experiments import experiment_with
from voicehelper.models.experiments.collector import bin_of, middle_of
from voicehelper.models.experiments.comparison import NOTHING, arm, quantile
from voicehelper.models.experiments.guard import Figures
from voicehelper.models.experiments.model import Variant, Weights
from voicehelper.models.experiments.results import Assigned, Counts, mismatch_of, results_of
from voicehelper.models.experiments.store import Tally


def tallies(values: np.ndarray, buckets: np.ndarray) -> dict[int, Tally]:
    found: dict[int, Tally] = {}
    for value, bucket in zip(values, buckets, strict=True):
        found.setdefault(int(bucket), Tally()).add(float(value))
    return found


def test_independent_calls_have_the_error_of_the_textbook() -> None:
    rng = np.random.default_rng(1)
    values = rng.exponential(300, 20_000)
    found = arm(tallies(values, rng.integers(0, 64, 20_000)))
    assert found.mean == pytest.approx(values.mean())
    assert found.estimate.error == pytest.approx(values.std(ddof=1) / math.sqrt(20_000), rel=0.2)
    assert found.effective == pytest.approx(20_000, rel=0.4)


def test_calls_of_one_user_count_for_less() -> None:
    """200 users, 50 calls each, each always the same: as much is known as from 200 calls."""
    rng = np.random.default_rng(2)
    users, buckets = rng.exponential(300, 200), rng.integers(0, 64, 200)
    found = arm(tallies(np.repeat(users, 50), np.repeat(buckets, 50)))
    assert 120 < found.effective < 350
    assert found.estimate.error == pytest.approx(users.std() / math.sqrt(200), rel=0.3)


def test_a_95_percent_interval_holds_95_times_of_100_though_users_differ() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(300):
        own, buckets = rng.beta(9, 1, 400), rng.integers(0, 64, 400)
        calls = rng.integers(1, 20, 400)
        values = np.concatenate([rng.random(n) < p for n, p in zip(calls, own, strict=True)])
        figures = Figures({"success": arm(tallies(values, np.repeat(buckets, calls)), rate=True)}, {})
        experiment = experiment_with(1, 1)
        interval = results_of(experiment, {"a": figures}, Counts()).variants[0].metrics["success"].interval
        held += interval.low <= 0.9 <= interval.high
    assert 0.92 < held / 300 <= 1


def test_nothing_and_next_to_nothing() -> None:
    assert arm({}) is NOTHING
    one = arm({3: Tally(1, 5.0, 25.0)})
    assert (one.mean, one.n) == (5.0, 1)
    results = results_of(experiment_with(1, 1), {}, Counts())
    assert (results.leader, results.certain, results.mismatch) == ("", False, None)
    assert results.warnings == ("small_sample",)
    figures = {"a": Figures({"ms": one}, {"ms": {100: 1}}), "b": Figures({"ms": one}, {})}
    results = results_of(experiment_with(1, 1, primary_metric="ms", goal="less"), figures, Counts())
    assert results.variants[1].metrics["ms"].against is None and not results.certain


def test_bins_keep_quantiles_within_a_few_percent() -> None:
    values = np.random.default_rng(1).lognormal(6, 0.8, 20_000)
    bins: dict[int, int] = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    for p in (0.5, 0.95):
        assert quantile(bins, p) == pytest.approx(np.quantile(values, p), rel=0.03)
    assert quantile({}, 0.5) is None and quantile(bins, 1.0) == math.inf
    assert middle_of(bin_of(0.0)) < 0.01


def rated(good: int, n: int) -> Figures:
    rng = np.random.default_rng(good)
    values = np.r_[np.ones(good), np.zeros(n - good)]
    buckets = rng.integers(0, 64, n)
    found = tallies(values, buckets)
    return Figures({"success": arm(found, rate=True), "tokens": arm(found)}, {})


def test_who_leads_and_whether_that_is_certain() -> None:
    experiment, counts = experiment_with(1, 1), Counts(users={0: 500, 1: 500})
    clear = results_of(experiment, {"a": rated(800, 1000), "b": rated(950, 1000)}, counts)
    assert (clear.leader, clear.certain, clear.warnings) == ("b", True, ())
    assert clear.variants[1].metrics["success"].against.value == pytest.approx(0.15)
    close = results_of(experiment, {"a": rated(800, 1000), "b": rated(805, 1000)}, counts)
    assert (close.leader, close.certain) == ("b", False)
    worse = results_of(experiment, {"a": rated(950, 1000), "b": rated(800, 1000)}, counts)
    assert (worse.leader, worse.certain) == ("a", True)
    less = results_of(replace(experiment, goal="less"), {"a": rated(950, 1000), "b": rated(800, 1000)}, counts)
    assert less.leader == "b"
    gone = replace(experiment, variants=(experiment.variants[0], Variant("b", stopped_at=1.0)))
    assert results_of(gone, {"a": rated(800, 1000), "b": rated(950, 1000)}, counts).leader == "a"


def test_too_few_are_said_to_be() -> None:
    experiment, few = experiment_with(1, 1), {"a": rated(40, 50), "b": rated(45, 50)}
    assert "small_sample" in results_of(experiment, few, Counts(users={0: 500, 1: 500})).warnings
    many = {"a": rated(800, 1000), "b": rated(950, 1000)}
    assert "small_sample" in results_of(experiment, many, Counts(users={0: 5, 1: 500})).warnings


def test_users_divided_otherwise_than_the_weights_say() -> None:
    experiment = experiment_with(50, 50)
    fair = mismatch_of(experiment, (Assigned(1, 0, 5050), Assigned(1, 1, 4950)))
    assert fair is not None and fair.p == pytest.approx(0.3173105, rel=1e-5) and not fair.found
    unfair = mismatch_of(experiment, (Assigned(1, 0, 5300), Assigned(1, 1, 4700)))
    assert unfair is not None and unfair.found
    results = results_of(experiment, {}, Counts((Assigned(1, 0, 5300), Assigned(1, 1, 4700))))
    assert "sample_ratio_mismatch" in results.warnings
    assert mismatch_of(experiment, (Assigned(1, 0, 3), Assigned(1, 1, 4))) is None


def test_users_of_every_revision_are_compared_with_its_weights() -> None:
    experiment = experiment_with(50, 50, weights=(Weights(1, 0, (50, 50)), Weights(2, 9, (90, 10))))
    assigned = (Assigned(1, 0, 1000), Assigned(1, 1, 1000), Assigned(2, 0, 900), Assigned(2, 1, 100))
    found = mismatch_of(experiment, assigned)
    assert found is not None and (found.chi_square, found.freedom) == (0.0, 2)
    assert "weights_changed" in results_of(experiment, {}, Counts(assigned)).warnings


def test_a_stopped_variant_is_not_missed() -> None:
    gone = (Variant("a"), Variant("b", stopped_at=1.0), Variant("c"))
    experiment = experiment_with(1, 1, 1, variants=gone)
    found = mismatch_of(experiment, (Assigned(1, 0, 1000), Assigned(1, 1, 100), Assigned(1, 2, 1000)))
    assert found is not None and (found.chi_square, found.freedom) == (0.0, 1)
