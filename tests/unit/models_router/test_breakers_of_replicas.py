"""Breakers of several replicas on one store, which may be away."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import Unavailable
from voicehelper.models.breaker import Rules
from voicehelper.models.breaker_events import Event, LocalBreakers, View
from voicehelper.models.breakers import SharedBreakers

RULES = Rules(rate=0.2, calls=10, window_ms=60_000, open_ms=30_000, trials=3, probe_failures=5, out_ms=300_000)
M = UUID(int=1)


def now() -> float:
    return asyncio.get_running_loop().time()


class FakeStore(LocalBreakers):
    """What all replicas share; may be away."""

    def __init__(self) -> None:
        super().__init__(RULES, now)
        self.away = False
        self.moves = 0

    async def move(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        if self.away:
            raise Unavailable
        self.moves += 1
        return await super().move(events)


class Replicas:
    """Two of them, in step."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.one, self.other = (SharedBreakers(self.store, LocalBreakers(RULES, now), None, now) for _ in range(2))
        self._tasks = [asyncio.create_task(breakers.run()) for breakers in (self.one, self.other)]
        for breakers in (self.one, self.other):
            assert breakers.open_for(M) == 0

    async def __aenter__(self) -> "Replicas":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


def fail(breakers: SharedBreakers, times: int = 10) -> None:
    for _ in range(times):
        breakers.report(M, False)


@virtual_time
async def test_what_one_saw_the_other_knows_within_two_seconds():
    async with Replicas() as both:
        fail(both.one, 5)
        fail(both.other, 5)
        await asyncio.sleep(0.1)
        assert both.one.open_for(M) > 29 or both.other.open_for(M) > 29
        await asyncio.sleep(1.1)
        assert both.one.open_for(M) > 28
        assert both.other.open_for(M) > 28
        assert not await both.one.admit(M)


@virtual_time
async def test_trials_are_handed_out_once_for_all_and_close_it_for_all():
    async with Replicas() as both:
        fail(both.one)
        await asyncio.sleep(31.5)
        assert both.other.open_for(M) == 0
        trials = [await breakers.admit(M) for breakers in (both.one, both.other) * 3]
        assert sum(trials) == 3
        for breakers in (both.one, both.other, both.one):
            breakers.report(M, True)
        await asyncio.sleep(1.2)
        assert [await breakers.admit(M) for breakers in (both.one, both.other) * 3] == [True] * 6


@virtual_time
async def test_each_goes_on_alone_while_the_store_is_away():
    async with Replicas() as both:
        both.store.away = True
        fail(both.one)
        await asyncio.sleep(0.2)
        assert both.one.away
        assert both.one.open_for(M) > 29
        await asyncio.sleep(2)
        assert both.other.open_for(M) == 0
        await asyncio.sleep(30)
        assert [await both.one.admit(M) for _ in range(4)] == [True, True, True, False]
        for _ in range(3):
            both.one.report(M, True)
        await asyncio.sleep(0.2)
        assert await both.one.admit(M)
        both.store.away = False
        await asyncio.sleep(1.1)
        assert not both.one.away


@virtual_time
async def test_what_all_had_seen_holds_on_while_the_store_is_away():
    async with Replicas() as both:
        fail(both.one)
        await asyncio.sleep(1.5)
        both.store.away = True
        await asyncio.sleep(5)
        assert both.other.open_for(M) == pytest.approx(23.5, abs=1)
        await asyncio.sleep(25)
        assert both.other.open_for(M) == 0
        assert await both.other.admit(M)


@virtual_time
async def test_cooling_holds_here_at_once_and_elsewhere_soon():
    async with Replicas() as both:
        both.one.cool(M, 5.0)
        assert both.one.open_for(M) == 5.0
        await asyncio.sleep(1.1)
        assert 3.5 < both.other.open_for(M) < 4
        await asyncio.sleep(4)
        assert (both.one.open_for(M), both.other.open_for(M)) == (0, 0)


@virtual_time
async def test_good_calls_cost_one_exchange_a_second():
    async with Replicas() as both:
        for _ in range(100):
            both.one.report(M, True)
            await asyncio.sleep(0.1)
        assert both.store.moves <= 22


@virtual_time
async def test_models_that_nobody_asks_for_are_forgotten():
    async with Replicas() as both:
        seen: list[int] = []
        move = both.store.move

        async def counted(events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
            seen.append(len(events))
            return await move(events)

        both.store.move = counted  # type: ignore[method-assign]
        await asyncio.sleep(700)
        assert (seen[0], seen[-1]) == (1, 0)
