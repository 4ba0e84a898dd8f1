"""Who is written down next, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.stt.fair_queue import PATIENCE_S, FairQueue
from voicehelper.errors import Overloaded


def names(places) -> list[str]:
    return [place.stream for place in places]


def test_finals_go_before_partials():
    queue = FairQueue(8)
    queue.add("a", False, 5, 0.0)
    queue.add("b", True, 5, 0.1)
    queue.add("c", True, 5, 0.2)
    assert names(queue.take(2, 0.3)) == ["b", "c"]
    assert names(queue.take(2, 0.3)) == ["a"]
    assert queue.take(2, 0.3) == []


def test_a_newer_partial_takes_the_place_of_the_older_one():
    queue = FairQueue(8)
    old, _ = queue.add("a", False, 5, 0.0)
    queue.add("b", False, 5, 0.1)
    new, pointless = queue.add("a", False, 6, 0.2)
    assert pointless == (old,)
    assert new.since == 0.0
    assert queue.take(1, 0.3) == [new]


def test_a_final_makes_the_streams_partial_pointless_but_no_final_is_ever_replaced():
    queue = FairQueue(8)
    partial, _ = queue.add("a", False, 5, 0.0)
    final, pointless = queue.add("a", True, 5, 0.1)
    assert pointless == (partial,)
    second, pointless = queue.add("a", True, 5, 0.2)
    assert pointless == ()
    assert queue.take(8, 0.3) == [final, second]


def test_streams_take_turns():
    queue = FairQueue(8)
    order = []
    for step in range(6):
        for stream in ("greedy", "modest"):
            if stream == "greedy" or step % 2 == 0:
                queue.add(stream, False, 5, float(step))
        order += names(queue.take(1, float(step)))
    assert order.count("modest") == 3


def test_a_partial_that_waited_long_leads_the_next_batch():
    queue = FairQueue(8)
    queue.add("quiet", False, 5, 0.0)
    for step in range(1, 5):
        queue.add(f"final {step}", True, 5, step * 0.1)
    assert "quiet" not in names(queue.take(2, PATIENCE_S - 0.1))
    assert names(queue.take(2, PATIENCE_S)) == ["quiet", "final 3"]


def test_short_utterances_and_long_ones_do_not_go_together():
    queue = FairQueue(8, stretch=4)
    queue.add("short", True, 3, 0.0)
    queue.add("long", True, 30, 0.1)
    queue.add("medium", True, 7, 0.2)
    assert names(queue.take(8, 0.3)) == ["short", "medium"]
    queue.add("next", True, 3, 0.4)
    assert names(queue.take(8, 0.5)) == ["long"]
    assert names(queue.take(8, 0.5)) == ["next"]


def test_a_full_queue_refuses_but_lets_a_stream_replace_its_own():
    queue = FairQueue(2)
    queue.add("a", False, 5, 0.0)
    queue.add("b", False, 5, 0.0)
    with pytest.raises(Overloaded):
        queue.add("c", True, 5, 0.0)
    queue.add("a", True, 5, 0.1)
    assert len(queue) == 2


def test_who_leaves_is_not_taken():
    queue = FairQueue(2)
    place, _ = queue.add("a", True, 5, 0.0)
    queue.remove(place)
    queue.remove(place)
    assert queue.take(2, 0.1) == []


EVENT = st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(3, 30))


@given(st.lists(EVENT, min_size=1, max_size=60), st.integers(1, 4))
def test_nobody_starves_whatever_comes(events, most):
    """Every batch takes whoever has waited longest beyond his patience; so nobody waits longer than it takes to serve
    those who were there before him."""
    queue = FairQueue(64)
    open_: dict = {}
    now = 0.0
    for stream, final, window in events:
        place, pointless = queue.add(stream, final, window, now)
        for other in pointless:
            del open_[other]
        open_[place] = 0
        now += 0.5
        for taken in queue.take(most, now):
            del open_[taken]
        for other in open_:
            open_[other] += now - other.since >= PATIENCE_S
        assert all(rounds <= len(events) for rounds in open_.values())
    rounds = 0
    while len(queue):
        now += 0.5
        assert queue.take(most, now)
        rounds += 1
    assert rounds <= len(events)
