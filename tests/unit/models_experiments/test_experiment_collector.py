"""Outcomes gathered in memory: written once, kept while the database is away, written at the end."""

import asyncio
from uuid import UUID

import pytest

from tests.fakes.experiments import FakeAssignments
from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import Unavailable
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.model import Chosen, Exposure
from voicehelper.ports.clock import FakeClock, SystemClock

ID = UUID(int=1)


def total(store: FakeAssignments, metric: str = "cost_micros") -> tuple[int, float]:
    found = [tally for key, tally in store.tallies.items() if key[2] == metric]
    return sum(tally.n for tally in found), sum(tally.total for tally in found)


async def test_sums_of_many_calls_are_one_row() -> None:
    store = FakeAssignments()
    collector = Collector(store, FakeClock())
    for value in (100, 200, 300):
        collector.add(ID, "a", "ms", 7, value)
    await collector.flush()
    await collector.flush()
    ((key, tally),) = store.tallies.items()
    assert key == (ID, "a", "ms", 7) and (tally.n, tally.total, tally.squares) == (3, 600, 140_000)
    assert sum(store.bins.values()) == 3 and len(store.batches) == 1


class FakeUncertainStore(FakeAssignments):
    """Writes, and loses the connection before it can say so."""

    fails = 1

    async def write(self, batch: object) -> None:
        await super().write(batch)
        if self.fails:
            self.fails -= 1
            raise Unavailable


async def test_a_batch_whose_fate_is_unknown_is_sent_again_and_counted_once() -> None:
    store = FakeUncertainStore()
    collector = Collector(store, FakeClock())
    collector.add(ID, "a", "cost_micros", 1, 5)
    with pytest.raises(Unavailable):
        await collector.flush()
    collector.add(ID, "a", "cost_micros", 1, 7)
    await collector.flush()
    assert total(store) == (2, 12)


async def test_nothing_is_lost_while_the_database_is_away_and_memory_does_not_grow_with_calls() -> None:
    store = FakeAssignments()
    store.away = True
    collector = Collector(store, FakeClock())
    for _ in range(20):
        for _ in range(500):
            collector.add(ID, "a", "cost_micros", 3, 1)
        with pytest.raises(Unavailable):
            await collector.flush()
    assert len(collector._open.tallies) == 1
    store.away = False
    await collector.flush()
    assert total(store) == (10_000, 10_000)


@virtual_time
async def test_it_flushes_every_second_and_at_the_end() -> None:
    store = FakeAssignments()
    collector = Collector(store, SystemClock())
    running = asyncio.create_task(collector.run())
    collector.add(ID, "a", "cost_micros", 1, 5)
    await asyncio.sleep(1.5)
    assert total(store) == (1, 5)
    store.away = True
    collector.add(ID, "a", "cost_micros", 1, 7)
    await asyncio.sleep(60)
    store.away = False
    await asyncio.sleep(1.5)
    assert total(store) == (2, 12)
    collector.add(ID, "a", "cost_micros", 1, 9)
    collector.expose(Exposure(ID, b"x", Chosen(0, 0.0, 9.0, 1)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert total(store) == (3, 21) and (ID, b"x") in store.rows


@virtual_time
async def test_it_ends_though_the_database_hangs() -> None:
    class FakeHangingStore(FakeAssignments):
        async def write(self, batch: object) -> None:
            await asyncio.sleep(3600)

    collector = Collector(FakeHangingStore(), SystemClock())
    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.1)
    collector.add(ID, "a", "cost_micros", 1, 9)
    running.cancel()
    begun = asyncio.get_running_loop().time()
    await asyncio.gather(running, return_exceptions=True)
    assert asyncio.get_running_loop().time() - begun < 10
