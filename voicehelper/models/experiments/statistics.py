"""The few distributions and intervals that results need, from their textbook formulas.

Student's t: DLMF 8.17 (https://dlmf.nist.gov/8.17.E22, the continued fraction of the incomplete beta function, by
Lentz's method). Chi-square: DLMF 8.8.2 and 8.4.6, closed sums for whole degrees of freedom. Wilson: E. B. Wilson,
"Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Welch: B. L. Welch, Biometrika
34 (1947), with Satterthwaite's degrees of freedom. The tests compare all of them with SciPy's figures.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

NORMAL: Final = NormalDist()
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Interval:
    """Both bounds of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, the standard error of it, and the degrees of freedom that the error was estimated with."""

    mean: float
    error: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much two estimates differ; `p` is two-sided, of no difference."""

    value: float
    interval: Interval
    p: float


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion; `n` may be an effective number and so need not be whole. `n` of 0: all of 0
    to 1."""
    if n <= 0:
        return Interval(0.0, 1.0)
    z, share = NORMAL.inv_cdf(0.5 + confidence / 2), successes / n
    scale = 1 / (1 + z * z / n)
    centre = scale * (share + z * z / (2 * n))
    half = scale * z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def welch(one: Estimate, other: Estimate, confidence: float = 0.95) -> Difference:
    """`one` less `other`, whose variances may differ."""
    value, parts = one.mean - other.mean, (one.error**2, other.error**2)
    variance = sum(parts)
    if variance <= 0:
        return Difference(value, Interval(value, value), 1.0 if value == 0 else 0.0)
    freedom = variance**2 / (parts[0] ** 2 / max(one.freedom, 1) + parts[1] ** 2 / max(other.freedom, 1))
    error = math.sqrt(variance)
    half = t_quantile(0.5 + confidence / 2, freedom) * error
    return Difference(value, Interval(value - half, value + half), 2 * t_tail(abs(value) / error, freedom))


def t_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's t."""
    half = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return half if t >= 0 else 1 - half


def t_quantile(p: float, freedom: float) -> float:
    """The t below which a share `p` (over one half) lies, by bisection."""
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > 1 - p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - p else (low, middle)
    return (low + high) / 2


def chi_square_tail(x: float, freedom: int) -> float:
    """P(X > x) of chi-square with a whole number of degrees of freedom."""
    half = x / 2
    if freedom % 2:
        tail, a = math.erfc(math.sqrt(half)), 0.5
    else:
        tail, a = math.exp(-half), 1.0
    while a < freedom / 2:
        tail += math.exp(a * math.log(half) - half - math.lgamma(a + 1)) if half > 0 else 0.0
        a += 1
    return min(1.0, tail)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Lentz's method: numerator and denominator of the convergents as ratios, until one changes nothing."""
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 1000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / _apart(1 + step * d), _apart(1 + step / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
