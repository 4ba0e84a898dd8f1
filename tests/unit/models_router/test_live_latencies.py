"""Live latencies: histograms, the exchange with other replicas, and being alone."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.errors import Unavailable
from voicehelper.models.latencies import Counts, LocalLatencies, SharedLatencies
from voicehelper.models.latency import FEWEST, bound_ms, bucket_of, quantile_ms

M, N = UUID(int=1), UUID(int=2)


@given(st.lists(st.floats(1.0, 100_000.0), min_size=FEWEST, max_size=200))
def test_the_quantile_is_off_by_no_more_than_a_bucket(values):
    found = quantile_ms(Counter(map(bucket_of, values)), 0.95)
    true = sorted(values)[-(-95 * len(values) // 100) - 1]
    assert found is not None
    assert true <= found * 1.0001
    assert found <= true * 1.16


def test_too_few_calls_tell_nothing():
    assert quantile_ms({3: FEWEST - 1}, 0.95) is None
    assert quantile_ms({3: FEWEST}, 0.95) == bound_ms(3)


def test_no_duration_is_out_of_range():
    assert (bucket_of(0.0), bucket_of(1e9)) == (0, 87)


class FakeStore(LocalLatencies):
    """What all replicas share; may be away."""

    away = False

    async def add(self, counts: Counts) -> Mapping[UUID, Mapping[int, int]]:  # type: ignore[override]
        if self.away:
            raise Unavailable
        return super().add(counts)


async def test_replicas_know_what_all_saw_and_alone_what_they_saw():
    time = [0.0]
    store = FakeStore(lambda: time[0])
    one, other = (SharedLatencies(store, lambda: time[0]) for _ in range(2))
    assert other.p95_ms(M) is None
    for _ in range(15):
        one.record(M, 100.0)
        other.record(M, 200.0)
    await one.exchange()
    await other.exchange()
    assert other.p95_ms(M) == pytest.approx(200, rel=0.16)
    assert one.p95_ms(M) is None  # it has not looked since
    await one.exchange()
    assert one.p95_ms(M) == other.p95_ms(M)
    store.away = True
    for _ in range(20):
        one.record(N, 50.0)
    await one.exchange()
    assert one.p95_ms(N) == pytest.approx(50, rel=0.16)
    store.away = False
    time[0] = 301.0
    assert one.p95_ms(M) is not None
    await one.exchange()
    assert one.p95_ms(M) is None  # minutes ago


async def test_nothing_recorded_costs_nothing():
    store = FakeStore()
    store.away = True
    await SharedLatencies(store).exchange()
