"""Ends of calls while Redis, the database, or both are away; in time that does not pass."""

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from structlog.testing import capture_logs

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.models.budgets import NO_LIMITS
from voicehelper.models.counters import NotOpen
from voicehelper.models.ledger import LedgerEntry, entry_of
from voicehelper.models.model import Caller, Reservation, Settlement
from voicehelper.models.settling import Settling
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import FakeClock

TENANT = new_id()


def an_entry(micros: int = 1) -> LedgerEntry:
    held = Reservation(new_id(), Caller(TENANT), "m", "p", 9, 9, False, 1_793_000_000.0)
    return entry_of(held, Settlement(ChatUsage(), micros, "answered", 1.0))


class FakeCounters:
    """Counts what is settled, each id once; can be away, closed, or lose its answer."""

    def __init__(self) -> None:
        self.away = self.closed = self.mute = False
        self.settled: dict[UUID, int] = {}
        self.released: list[UUID] = []
        self.announced: list[UUID] = []

    async def announce(self, tenants: Any) -> None:
        self._there()
        self.announced += tenants

    async def release(self, _tenant: UUID, id_: UUID) -> None:
        self._there()
        self.released.append(id_)

    async def settle(self, entry: LedgerEntry, _limits: object) -> bool:
        self._there()
        if self.closed:
            raise NotOpen
        if entry.model == "bad":
            raise TypeError
        assert self.announced
        fresh = self.settled.setdefault(entry.id, entry.cost_micros) == entry.cost_micros
        if self.mute:
            raise Unavailable
        return fresh

    def _there(self) -> None:
        if self.away:
            raise Unavailable


class FakeLedger:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.away = False
        self.uncounted: list[LedgerEntry] = []

    async def write_uncounted(self, entries: Any) -> None:
        if self.away:
            raise Unavailable
        self.uncounted += entries


class Desk:
    def __init__(self, most: int = 100) -> None:
        self.counters, self.ledger, self.clock = FakeCounters(), FakeLedger(), FakeClock()
        self.opened: list[str] = []
        self.settling = Settling(
            self.counters,
            self.ledger,
            limits_of=lambda _: (NO_LIMITS,) * 3,
            open_month=self._open,
            clock=self.clock,
            most=most,
        )

    async def _open(self, _tenant: UUID, month: str) -> None:
        if self.counters.away:
            raise Unavailable
        self.opened.append(month)
        self.counters.closed = False

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.settling.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def turns(self, count: int = 200) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


async def test_who_waits_for_the_books_waits_until_then_and_not_for_ever() -> None:
    desk = Desk()
    entry, later = an_entry(), an_entry()
    desk.settling.put(entry)
    waiting = asyncio.create_task(desk.settling.recorded(entry.id, 60))
    await desk.turns()
    assert not waiting.done()
    async with desk.running():
        await asyncio.wait_for(waiting, 1)
        assert list(desk.counters.settled) == [entry.id]
        await desk.settling.recorded(entry.id, 60)  # long since
        desk.counters.away = True
        desk.settling.put(later)
        await desk.settling.recorded(later.id, 0.01)
        assert later.id not in desk.counters.settled


async def test_what_is_put_is_settled_in_order_and_once() -> None:
    desk = Desk(1000)
    entries = [an_entry() for _ in range(300)]
    async with desk.running():
        for entry in entries:
            desk.settling.put(entry)
        await desk.turns(3000)
    assert list(desk.counters.settled) == [entry.id for entry in entries]
    assert len(desk.settling) == 0


async def test_a_short_absence_is_waited_out_in_memory() -> None:
    desk = Desk()
    desk.counters.away = True
    async with desk.running():
        for _ in range(10):
            desk.settling.put(an_entry())
        await desk.turns(8)
        assert len(desk.settling) == 10
        desk.counters.away = False
        await desk.turns()
    assert len(desk.counters.settled) == 10
    assert desk.ledger.uncounted == []


async def test_a_long_absence_ends_in_the_table() -> None:
    desk = Desk()
    desk.counters.away = True
    async with desk.running():
        for _ in range(10):
            desk.settling.put(an_entry())
        await desk.turns(500)  # every wait moves the clock
    assert len(desk.ledger.uncounted) == 10
    assert len(desk.settling) == 0


async def test_many_waiting_go_to_the_table_at_once() -> None:
    desk = Desk(most=10)
    desk.counters.away = True
    async with desk.running():
        for _ in range(8):
            desk.settling.put(an_entry())
        await desk.turns(5)
    assert len(desk.ledger.uncounted) == 8


async def test_with_both_away_the_queue_is_bounded_and_what_is_lost_is_told() -> None:
    desk = Desk(most=10)
    desk.counters.away = desk.ledger.away = True
    with capture_logs() as logs:
        async with desk.running():
            for _ in range(25):
                desk.settling.put(an_entry())
            await desk.turns()
            assert len(desk.settling) == 10
            desk.counters.away = False
            await desk.turns()
    assert len(desk.counters.settled) == 10
    assert sum(log["event"] == "ledger.entry_dropped" for log in logs) == 15


async def test_a_lost_answer_is_asked_again_to_no_effect() -> None:
    desk = Desk()
    desk.counters.mute = True
    entry = an_entry(5)
    async with desk.running():
        desk.settling.put(entry)
        await desk.turns(20)
        desk.counters.mute = False
        await desk.turns()
    assert desk.counters.settled == {entry.id: 5}
    assert len(desk.settling) == 0


async def test_a_month_that_is_not_open_is_opened_first() -> None:
    desk = Desk()
    desk.counters.closed = True
    async with desk.running():
        desk.settling.put(an_entry())
        await desk.turns()
    assert desk.opened == ["202610"]
    assert len(desk.counters.settled) == 1


async def test_one_bad_entry_does_not_hold_up_the_others() -> None:
    desk = Desk()
    bad = entry_of(
        Reservation(new_id(), Caller(TENANT), "bad", "p", 0, 0, False, 1.0), Settlement(ChatUsage(), 1, "x", 1.0)
    )
    with capture_logs() as logs:
        async with desk.running():
            desk.settling.put(bad)
            desk.settling.put(an_entry())
            await desk.turns()
    assert len(desk.counters.settled) == 1
    assert [log["why"] for log in logs if log["event"] == "ledger.entry_dropped"] == ["TypeError"]


async def test_unused_reservations_are_given_back() -> None:
    desk, id_ = Desk(), new_id()
    async with desk.running():
        desk.settling.give_back(TENANT, id_)
        await desk.turns()
    assert desk.counters.released == [id_]


async def test_the_end_of_the_process_settles_what_waits_or_writes_it_down() -> None:
    for away in (False, True):
        desk = Desk()
        desk.counters.away = away
        for _ in range(70):
            desk.settling.put(an_entry())
        await desk.settling.close()
        assert len(desk.counters.settled) == (0 if away else 70)
        assert len(desk.ledger.uncounted) == (70 if away else 0)


async def test_cancelled_in_the_middle_nothing_is_lost() -> None:
    desk = Desk()
    for _ in range(70):
        desk.settling.put(an_entry())
    async with desk.running():
        await desk.turns(3)
    await desk.settling.close()
    assert len(desk.counters.settled) == 70
