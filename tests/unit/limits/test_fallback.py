"""Limits without Redis: they go on, locally, and come back."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from voicehelper.errors import Unavailable
from voicehelper.limits import FallbackLimiter, Limit, LocalLimiter, Verdict
from voicehelper.limits import fallback as room
from voicehelper.telemetry import metrics

LIMIT = Limit("address", "a", 3)


class FakeShared:
    """Counters that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.calls = 0
        self.counters = LocalLimiter(60.0)

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        self.calls += 1
        if self.away:
            raise Unavailable
        return self.counters.decide(limits)


@pytest.fixture
def shared() -> FakeShared:
    return FakeShared()


@pytest.fixture
async def limiter(shared: FakeShared, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FallbackLimiter]:
    monkeypatch.setattr(room, "_RETRY_S", 0.01)
    made = FallbackLimiter(shared, LocalLimiter(60.0))
    yield made
    await made.close()


def fallbacks() -> float:
    return metrics.FALLBACKS.labels("rate_limits")._value.get()


async def test_the_same_quota_holds_without_the_counters(shared: FakeShared, limiter: FallbackLimiter) -> None:
    before = fallbacks()
    shared.away = True
    verdicts = [await limiter.acquire([LIMIT]) for _ in range(20)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 3 + [False] * 17
    assert shared.calls == 1, "only the first request waits for the outage"
    assert fallbacks() == before + 20
    assert limiter.away


async def test_the_shared_counters_are_taken_up_again(shared: FakeShared, limiter: FallbackLimiter) -> None:
    shared.away = True
    await limiter.acquire([LIMIT])
    shared.away = False
    while limiter.away:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert (await limiter.acquire([LIMIT])).remaining == 2
    assert shared.counters.decide([LIMIT]).remaining == 1


async def test_a_refusal_is_remembered_until_it_ends(shared: FakeShared) -> None:
    now = [1000.0]
    limiter = FallbackLimiter(shared, LocalLimiter(60.0), lambda: now[0])
    refused = [await limiter.acquire([LIMIT, Limit("tenant", "t", 100)]) for _ in range(50)][-1]
    assert (refused.allowed, refused.place, shared.calls) == (False, 0, 4)
    assert (await limiter.acquire([Limit("user", "u", 9), LIMIT])).place == 1
    assert (await limiter.acquire([Limit("user", "u", 9)])).allowed
    now[0] += refused.reset + 0.001
    calls = shared.calls
    await limiter.acquire([LIMIT])
    assert shared.calls == calls + 1


async def test_a_refusal_is_remembered_for_its_quota_only(shared: FakeShared, limiter: FallbackLimiter) -> None:
    for _ in range(4):
        await limiter.acquire([LIMIT])
    assert (await limiter.acquire([Limit("address", "a", 10)])).allowed
