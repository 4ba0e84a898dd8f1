"""The sliding window under virtual time."""

import bisect
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.limits import BUCKETS, Limit, LocalLimiter

WINDOW_S = 60.0
QUOTA = 10


class Now:
    """Seconds, moved by hand."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def most_in_a_window(admitted: list[float]) -> int:
    """The fullest half-open window of WINDOW_S."""
    return max((bisect.bisect_left(admitted, at + WINDOW_S - 1e-6) - i for i, at in enumerate(admitted)), default=0)


@given(st.lists(st.floats(0, 40, allow_nan=False), max_size=200), st.integers(1, 12))
def test_no_window_ever_holds_more_than_the_quota(gaps: list[float], quota: int) -> None:
    now = Now()
    limiter = LocalLimiter(WINDOW_S, now)
    admitted = []
    for gap in gaps:
        now.at += gap
        if limiter.decide([Limit("user", "u", quota)]).allowed:
            admitted.append(now.at)
    assert most_in_a_window(admitted) <= quota


def test_the_burst_that_a_weighted_counter_lets_through() -> None:
    """All at the end of one window, and again as soon as possible: a counter of two windows admits nearly twice."""
    now = Now(WINDOW_S * 100 - 0.001)
    limiter = LocalLimiter(WINDOW_S, now)
    admitted = []
    for _ in range(3000):
        if limiter.decide([Limit("user", "u", QUOTA)]).allowed:
            admitted.append(now.at)
        now.at += 0.05
    assert most_in_a_window(admitted) == QUOTA


def test_who_asks_as_fast_as_he_may_gets_nearly_his_quota() -> None:
    now = Now()
    limiter = LocalLimiter(WINDOW_S, now)
    admitted, hours = 0, 3600.0
    while now.at < 1000 + hours:
        verdict = limiter.decide([Limit("user", "u", QUOTA)])
        admitted += verdict.allowed
        now.at += verdict.reset if not verdict.allowed else 0.01
    assert admitted >= QUOTA * (hours / WINDOW_S) / (1 + 1 / BUCKETS) - QUOTA


@pytest.mark.parametrize("seed", range(20))
def test_retry_after_is_exact(seed: int) -> None:
    """A moment before it the request is refused still, at it admitted."""
    dice, now = random.Random(seed), Now()
    limiter, limit = LocalLimiter(WINDOW_S, now), Limit("user", "u", QUOTA)
    refusals = 0
    for _ in range(300):
        verdict = limiter.decide([limit])
        if not verdict.allowed:
            refusals += 1
            assert 0 < verdict.reset <= WINDOW_S * (1 + 1 / BUCKETS)
            now.at += verdict.reset - 0.001
            assert not limiter.decide([limit]).allowed
            now.at += 0.0011
            assert limiter.decide([limit]).allowed
        now.at += dice.expovariate(0.5)
    assert refusals > 5


def test_what_is_left_counts_down_and_comes_back() -> None:
    now = Now()
    limiter, limit = LocalLimiter(WINDOW_S, now), Limit("user", "u", 3)
    assert [limiter.decide([limit]).remaining for _ in range(3)] == [2, 1, 0]
    refused = limiter.decide([limit])
    assert (refused.allowed, refused.remaining) == (False, 0)
    now.at += refused.reset
    again = limiter.decide([limit])
    assert (again.allowed, again.remaining) == (True, 2)
    assert again.reset == pytest.approx(WINDOW_S + WINDOW_S / BUCKETS, abs=WINDOW_S / BUCKETS)


def test_all_limits_or_none() -> None:
    """What the tenant's limit refuses does not use up the user's."""
    limiter = LocalLimiter(WINDOW_S, Now())
    user, tenant = Limit("user", "u", 5), Limit("tenant", "t", 2)
    assert limiter.decide([user, tenant]).place == 1
    assert limiter.decide([user, tenant]).remaining == 0
    for _ in range(10):
        verdict = limiter.decide([user, tenant])
        assert (verdict.allowed, verdict.place) == (False, 1)
    assert limiter.decide([user]).remaining == 2


def test_of_two_refusals_the_longer_counts() -> None:
    now = Now()
    limiter = LocalLimiter(WINDOW_S, now)
    early, late = Limit("user", "early", 1), Limit("tenant", "late", 1)
    limiter.decide([early])
    now.at += 30
    limiter.decide([late])
    assert limiter.decide([early, late]).place == limiter.decide([late, early]).place + 1 == 1


def test_a_clock_that_goes_back_forgives_nothing() -> None:
    now = Now()
    limiter, limit = LocalLimiter(WINDOW_S, now), Limit("user", "u", 1)
    assert limiter.decide([limit]).allowed
    now.at -= 500
    assert not limiter.decide([limit]).allowed


def test_memory_is_bounded_and_the_used_ones_stay() -> None:
    limiter = LocalLimiter(WINDOW_S, Now(), capacity=100)
    kept = Limit("address", "kept", 1)
    assert limiter.decide([kept]).allowed
    for i in range(1000):
        limiter.decide([Limit("address", f"flood{i}", 1)])
        assert not limiter.decide([kept]).allowed
    assert len(limiter._windows) == 100
