"""Figures of others: SciPy 1.x (`scipy.stats`, `scipy.special`), and R. G. Newcombe's examples of Wilson's interval."""

import math

import pytest

from voicehelper.models.experiments.statistics import (
    Estimate,
    chi_square_tail,
    incomplete_beta,
    t_quantile,
    t_tail,
    welch,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # scipy.stats.binomtest(k, n).proportion_ci(0.95, "wilson")
        (15, 50, 0.1910355350088095, 0.4375035046445341),
        (20, 20, 0.8388748419471808, 1.0),
        (8, 10, 0.4901624715366418, 0.9433178485456248),
        (957, 1000, 0.942580996155916, 0.9679213465882865),
    ],
)
def test_wilson(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert found.low == pytest.approx(low, rel=1e-12) and found.high == pytest.approx(high, rel=1e-12)


def test_wilson_of_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


@pytest.mark.parametrize(
    ("t", "freedom", "tail"),
    [  # scipy.stats.t.sf(t, freedom)
        (0.5, 3, 0.3257239824240755),
        (2.0, 10, 0.03669401738537018),
        (2.5, 2.7, 0.04853970722146734),
        (4.0, 63, 8.452626054273334e-05),
        (-1.2, 8, 0.867766447399092),
        (6.0, 126.4, 9.694615064631979e-09),
    ],
)
def test_students_tail(t: float, freedom: float, tail: float) -> None:
    assert t_tail(t, freedom) == pytest.approx(tail, rel=1e-11)


@pytest.mark.parametrize(
    ("freedom", "t"),
    [  # scipy.stats.t.ppf(0.975, freedom)
        (1, 12.706204736174694),
        (2.5, 3.5746548420036817),
        (10, 2.228138851986274),
        (63, 1.998340542520741),
        (1000, 1.9623390808264083),
    ],
)
def test_students_quantile(freedom: float, t: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "freedom", "tail"),
    [  # scipy.stats.chi2.sf(x, freedom)
        (3.841458820694124, 1, 0.05),
        (5.991464547107979, 2, 0.05),
        (10.0, 3, 0.01856613546304325),
        (0.5, 4, 0.9735009788392561),
        (40.0, 9, 7.598525229464264e-06),
        (0.0, 1, 1.0),
    ],
)
def test_chi_square(x: float, freedom: int, tail: float) -> None:
    assert chi_square_tail(x, freedom) == pytest.approx(tail, rel=1e-11)


@pytest.mark.parametrize(
    ("a", "b", "x", "value"),
    [  # scipy.special.betainc(a, b, x)
        (2, 3, 0.4, 0.5247999999999999),
        (0.5, 0.5, 0.3, 0.36901011956554536),
        (31.5, 0.5, 0.9, 0.010280087694008936),
        (5, 1, 0.2, 0.0003200000000000001),
        (2, 3, 0.0, 0.0),
        (2, 3, 1.0, 1.0),
    ],
)
def test_incomplete_beta(a: float, b: float, x: float, value: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(value, rel=1e-12)


A = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
B = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.7, 19.8]


def estimate(values: list[float]) -> Estimate:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Estimate(mean, math.sqrt(variance / len(values)), len(values) - 1)


def test_welch() -> None:
    """scipy.stats.ttest_ind(A, B, equal_var=False): t -2.4654, 27.996 degrees of freedom."""
    found = welch(estimate(A), estimate(B))
    assert found.value == pytest.approx(-2.54)
    assert found.p == pytest.approx(0.02008025540810803, rel=1e-10)
    assert found.interval.low == pytest.approx(-4.650397943160884, rel=1e-9)
    assert found.interval.high == pytest.approx(-0.42960205683912056, rel=1e-8)


def test_welch_where_nothing_varies() -> None:
    same, other = Estimate(3.0, 0.0, 9), Estimate(4.0, 0.0, 9)
    assert (welch(same, same).p, welch(same, other).p) == (1.0, 0.0)
