"""The rules of one breaker, by the millisecond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.config import ModelSettings
from voicehelper.models.breaker import Breaker, Phase, Rules, admitted, cooled, leased, probed, reported, wait_ms

RULES = Rules(rate=0.2, calls=10, window_ms=60_000, open_ms=30_000, trials=3, probe_failures=5, out_ms=300_000)
T0 = 1_000_000_000


def opened(now: int = T0) -> Breaker:
    breaker = reported(Breaker(), 0, 10, now, RULES)
    assert breaker.phase is Phase.OPEN
    return breaker


def test_the_rules_are_those_of_the_settings():
    assert Rules.of(ModelSettings()) == RULES


@pytest.mark.parametrize(
    ("ok", "failed", "phase"),
    [
        (0, 9, Phase.CLOSED),  # too few to tell
        (0, 10, Phase.OPEN),
        (8, 2, Phase.CLOSED),  # a fifth is not more than a fifth
        (7, 3, Phase.OPEN),
        (79, 21, Phase.OPEN),
        (80, 20, Phase.CLOSED),
    ],
)
def test_it_opens_beyond_the_rate_of_enough_calls(ok, failed, phase):
    assert reported(Breaker(), ok, failed, T0, RULES).phase is phase


def test_what_is_older_than_the_window_is_forgotten():
    breaker = reported(Breaker(), 0, 9, T0, RULES)
    assert reported(breaker, 0, 1, T0 + 59_000, RULES).phase is Phase.OPEN
    assert reported(breaker, 0, 1, T0 + 61_000, RULES).phase is Phase.CLOSED


def test_nobody_gets_through_until_its_time_is_over_then_some():
    breaker = opened()
    assert wait_ms(breaker, T0) == 30_000
    assert admitted(breaker, T0 + 29_999, RULES) == (breaker, False)
    granted = []
    for _ in range(5):
        breaker, ok = admitted(breaker, T0 + 30_000, RULES)
        granted.append(ok)
    assert granted == [True, True, True, False, False]
    assert (breaker.phase, wait_ms(breaker, T0 + 30_000)) == (Phase.HALF_OPEN, 0)


def test_good_trials_close_it():
    breaker, _ = admitted(opened(), T0 + 30_000, RULES)
    breaker = reported(breaker, 2, 0, T0 + 30_001, RULES)
    assert breaker.phase is Phase.HALF_OPEN
    breaker = reported(breaker, 1, 0, T0 + 30_002, RULES)
    assert (breaker.phase, breaker.opened, breaker.window) == (Phase.CLOSED, 0, ())


def test_a_bad_trial_opens_it_for_longer_up_to_a_bound():
    now, breaker, waits = T0, opened(), []
    for _ in range(6):
        waits.append(wait_ms(breaker, now))
        now += waits[-1]
        breaker, _ = admitted(breaker, now, RULES)
        breaker = reported(breaker, 1, 1, now, RULES)
    assert waits == [30_000, 60_000, 120_000, 240_000, 240_000, 240_000]


def test_what_began_before_it_opened_says_nothing():
    breaker = opened()
    assert reported(breaker, 5, 5, T0 + 1, RULES).window == ()
    assert reported(breaker, 5, 0, T0 + 31_000, RULES).phase is Phase.OPEN


def test_trials_that_nobody_reports_on_are_handed_out_again():
    breaker = opened()
    for _ in range(3):
        breaker, _ = admitted(breaker, T0 + 30_000, RULES)
    breaker = reported(breaker, 1, 0, T0 + 30_100, RULES)
    assert not admitted(breaker, T0 + 59_999, RULES)[1]
    breaker, granted = admitted(breaker, T0 + 60_000, RULES)
    assert granted
    breaker, granted = admitted(breaker, T0 + 60_000, RULES)
    assert (granted, admitted(breaker, T0 + 60_000, RULES)[1]) == (True, False)


def test_it_cools_for_as_long_as_it_asks():
    breaker = cooled(cooled(Breaker(), 5000, T0), 2000, T0)
    assert (wait_ms(breaker, T0), wait_ms(breaker, T0 + 5000)) == (5000, 0)
    assert reported(breaker, 1, 0, T0, RULES).phase is Phase.CLOSED


def test_failed_probes_in_a_row_put_it_out_and_one_good_one_brings_it_back():
    breaker = Breaker()
    for _ in range(4):
        breaker = probed(breaker, False, T0, RULES)
    assert wait_ms(breaker, T0) == 0
    breaker = probed(breaker, False, T0, RULES)
    assert wait_ms(breaker, T0) == 300_000
    again = probed(breaker, False, T0 + 300_000, RULES)
    assert wait_ms(again, T0 + 300_000) == 300_000
    assert wait_ms(probed(breaker, True, T0 + 60_000, RULES), T0 + 60_000) == 0


def test_a_call_that_is_answered_interrupts_the_row():
    breaker = Breaker()
    for _ in range(4):
        breaker = probed(breaker, False, T0, RULES)
    breaker = reported(breaker, 1, 0, T0, RULES)
    assert wait_ms(probed(breaker, False, T0, RULES), T0) == 0


def test_probes_are_trials_too():
    breaker = opened()
    assert probed(breaker, True, T0 + 1, RULES).phase is Phase.OPEN
    for _ in range(3):
        breaker = probed(breaker, True, T0 + 30_000, RULES)
    assert breaker.phase is Phase.CLOSED


def test_only_what_nobody_called_is_probed_and_by_one():
    breaker = reported(Breaker(), 1, 0, T0, RULES)
    assert not leased(breaker, 60_000, T0 + 59_999)[1]
    breaker, granted = leased(breaker, 60_000, T0 + 60_000)
    assert (granted, leased(breaker, 60_000, T0 + 60_001)[1]) == (True, False)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "report", "probed", "cool"]),
        st.integers(0, 12),
        st.integers(0, 12),
        st.integers(0, 20_000),
    ),
    max_size=60,
)


@given(_EVENTS)
def test_it_never_lets_more_than_the_trials_through_and_always_opens_again(events):
    now, breaker, through = T0, Breaker(), 0
    for what, x, y, step in events:
        now += step
        before = breaker
        if what == "admit":
            breaker, granted = admitted(breaker, now, RULES)
            assert granted == (breaker.phase is Phase.CLOSED or breaker != before)
            assert breaker.given <= RULES.trials
            through += granted
        elif what == "report":
            breaker = reported(breaker, x, y, now, RULES)
        elif what == "probed":
            breaker = probed(breaker, bool(x % 2), now, RULES)
        else:
            breaker = cooled(breaker, x * 1000, now)
        assert 0 <= wait_ms(breaker, now) <= 300_000
        assert len(breaker.window) <= 7
    later = now + 300_000
    assert admitted(breaker, later, RULES)[1]
