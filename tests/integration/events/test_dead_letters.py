"""From a failing handler through PostgreSQL and back to that group, and no other."""

import asyncio
from typing import Any

import pytest

from voicehelper.errors import Conflict, NotFound
from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.dead_letters import PostgresDeadLetters, first_time
from voicehelper.stores.postgres.guard import SYSTEM, transaction
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups


@pytest.fixture
async def letters(pool: Pool, bus: Any) -> Any:
    wakeups = Wakeups(pool)
    bus.letters = PostgresDeadLetters(pool, wakeups)
    yield bus.letters
    await wakeups.close()


async def test_a_letter_is_replayed_to_its_group_alone(bus: Any, tools: Any, letters: PostgresDeadLetters) -> None:
    failing, other = tools.Collector(), tools.Collector()
    failing.failing[3] = ValueError("not yet")
    events = tools.some(6, keys=1)
    async with bus.consuming(failing, "failing"), bus.consuming(other, "other"):
        await bus.bus.publish(events)
        await tools.until(lambda: len(failing.events) == 5 and len(other.events) == 6)
        (letter,) = await letters.find(events[3].tenant_id)
        assert (letter.consumer, letter.event, letter.attempts, letter.state) == ("failing", events[3], 3, "dead")

        await letters.replay(letter.event.tenant_id, letter.id)  # in vain
        await tools.until(lambda: _state(letters, events[3], "dead"))

        failing.failing.clear()
        await letters.replay(letter.event.tenant_id, letter.id)
        await tools.until(lambda: _state(letters, events[3], "replayed"))
    assert failing.numbers == [0, 1, 2, 4, 5, 3]
    assert other.numbers == list(range(6))
    with pytest.raises(Conflict):
        await letters.replay(letter.event.tenant_id, letter.id)


async def _state(letters: PostgresDeadLetters, event: Event, state: str) -> bool:
    (letter,) = await letters.find(event.tenant_id)
    return letter.state == state


async def test_a_replay_waits_for_a_consumer_and_one_of_them_takes_it(
    bus: Any, tools: Any, letters: PostgresDeadLetters
) -> None:
    event = tools.some(1)[0]
    await letters.bury("g", event, 5, "x")
    (letter,) = await letters.find(event.tenant_id)
    await letters.replay(event.tenant_id, letter.id)
    left, right = tools.Collector(), tools.Collector()
    async with bus.consuming(left), bus.consuming(right):
        await tools.until(lambda: _state(letters, event, "replayed"))
        await asyncio.sleep(0.3)
    assert len(left.events) + len(right.events) == 1


async def test_letters_belong_to_their_tenant(letters: PostgresDeadLetters, tools: Any) -> None:
    mine, theirs = tools.some(2)
    for event in (mine, theirs):
        await letters.bury("g", event, 5, "x")
    (letter,) = await letters.find(theirs.tenant_id)
    assert [found.event.id for found in await letters.find(mine.tenant_id)] == [mine.id]
    with pytest.raises(NotFound):
        await letters.replay(mine.tenant_id, letter.id)
    assert await letters.requested("g", 10) == []


async def test_an_event_counts_as_handled_with_the_transaction_that_handles_it(pool: Pool, tools: Any) -> None:
    event = tools.some(1)[0]
    with pytest.raises(ZeroDivisionError):
        async with transaction(pool, event.tenant_id) as conn:
            assert await first_time(conn, "g", event)
            raise ZeroDivisionError
    async with transaction(pool, event.tenant_id) as conn:
        assert await first_time(conn, "g", event)
    async with transaction(pool, event.tenant_id) as conn:
        assert not await first_time(conn, "g", event)
        assert await first_time(conn, "other", event)


async def test_old_replayed_letters_and_memories_are_pruned(pool: Pool, tools: Any) -> None:
    letters = PostgresDeadLetters(pool)
    event, open_ = tools.some(2)
    for item in (event, open_):
        await letters.bury("g", item, 5, "x")
    (letter,) = await letters.find(event.tenant_id)
    await letters.replay(event.tenant_id, letter.id)
    await letters.replayed(letter.id)
    async with transaction(pool, SYSTEM) as conn:
        await first_time(conn, "g", Event(new_id(), "x", new_id()))
    await letters.prune(3600)
    assert await pool.fetchval("SELECT count(*) FROM processed_events") == 1
    await pool.execute("UPDATE processed_events SET at = at - interval '3 hours'")
    await pool.execute("UPDATE dead_letters SET replayed_at = replayed_at - interval '3 hours'")
    await letters.prune(3600)
    assert await pool.fetchval("SELECT count(*) FROM processed_events") == 0
    assert [row["event_id"] for row in await pool.fetch("SELECT event_id FROM dead_letters")] == [open_.id]
