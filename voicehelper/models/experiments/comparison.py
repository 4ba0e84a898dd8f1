"""From tallies to estimates whose errors are honest although one user makes many calls.

Users, not calls, are drawn for variants, and calls of one user are alike. So the unit of variance is a group of users:
each is thrown into one of 64 buckets by his hash, and the variance of the ratio (sum of values) / (calls) follows from
how buckets differ, by the delta method (A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics",
KDD 2018; buckets as in N. Chamandy et al., "Estimating uncertainty for massive data streams", Google 2012). The design
effect is how many times larger it is than if calls were independent; a rate's interval is Wilson's with the calls
divided by it (L. Kish, "Survey Sampling", 1965; N. Dean, M. Pagano, "Evaluating confidence interval methods for
binomial proportions in clustered surveys", J. Survey Statistics and Methodology 3, 2015).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from voicehelper.models.experiments.collector import middle_of
from voicehelper.models.experiments.statistics import Estimate
from voicehelper.models.experiments.store import Tally

_FEWEST_BUCKETS = 8


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant's values of one metric.

    Attributes:
        n, total: calls, and the sum of their values.
        estimate: of the mean.
        effective: how many independent calls would tell as much.
    """

    n: int
    total: float
    estimate: Estimate
    effective: float

    @property
    def mean(self) -> float:
        """Of all calls alike."""
        return self.estimate.mean


NOTHING = Arm(0, 0.0, Estimate(0.0, 0.0, 0.0), 0.0)


def arm(buckets: Mapping[int, Tally], *, rate: bool = False) -> Arm:
    """One variant's tallies of a metric, by bucket. `rate`: values are 0 or 1."""
    n = sum(tally.n for tally in buckets.values())
    if n == 0:
        return NOTHING
    total = sum(tally.total for tally in buckets.values())
    mean = total / n
    plain = _plain_variance(n, total, sum(tally.squares for tally in buckets.values()), rate=rate)
    between, freedom = plain, float(n - 1)
    groups = [tally for tally in buckets.values() if tally.n]
    if len(groups) >= _FEWEST_BUCKETS:
        spread = sum((tally.total - mean * tally.n) ** 2 for tally in groups)
        between, freedom = spread * len(groups) / (len(groups) - 1) / n**2, len(groups) - 1.0
    # Never surer than independent calls would make us: the estimate from buckets scatters both ways.
    variance = max(plain, between)
    effective = n * plain / variance if variance > 0 else float(n)
    return Arm(n, total, Estimate(mean, math.sqrt(variance), freedom), effective)


def _plain_variance(n: int, total: float, squares: float, *, rate: bool) -> float:
    """Of the mean of independent values. A rate's is never 0: one more of each outcome is imagined (A. Agresti,
    B. Caffo, "Simple and effective confidence intervals for proportions", The American Statistician 54, 2000)."""
    if rate:
        share = (total + 1) / (n + 2)
        return share * (1 - share) / n
    if n == 1:
        return 0.0
    return max(0.0, squares - total**2 / n) / (n - 1) / n


def quantile(bins: Mapping[int, int], p: float) -> float | None:
    """The value below which a share `p` lies; None where there are no values, infinity for `p` of 1 or more."""
    n = sum(bins.values())
    if n == 0:
        return None
    if p >= 1:
        return math.inf
    below = 0
    for number in sorted(bins):
        below += bins[number]
        if below >= p * n:
            return middle_of(number)
    return math.inf
