"""Turns in virtual time: who gets a slot and may read, who is refused, who leaves in the middle."""

import asyncio

import pytest

from actors.chat.fairness import PIECE, REST_S, SHARED_PIECE, STEPS
from actors.chat.turns import Ticket, Turns
from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import ModelUnavailable, Overloaded


def turns(parallel: int = 2, queue: int = 2) -> Turns:
    return Turns("chat", parallel, queue, now=asyncio.get_running_loop().time)


async def answer(of: Turns, ticket: Ticket) -> None:
    """Read all of it and begin to decode."""
    unread = ticket.reader.unread
    while unread:
        unread -= await of.turn(ticket)
        of.read(ticket, unread)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@virtual_time
async def test_a_queue_of_its_length_and_then_overloaded() -> None:
    book = turns()
    tickets = [book.enter(10) for _ in range(2)]
    for ticket in tickets:
        await answer(book, ticket)
    waiting = [asyncio.create_task(book.turn(book.enter(10))) for _ in range(2)]
    await settle()
    with pytest.raises(Overloaded) as caught:
        book.enter(10)
    assert caught.value.retry_after == 3
    book.leave(tickets[0])
    await settle()
    assert [task.done() for task in waiting] == [True, False]
    book.enter(10)


@virtual_time
async def test_who_entered_and_found_a_slot_is_not_in_the_queue() -> None:
    book = turns(parallel=2, queue=0)
    tickets = [book.enter(10), book.enter(10)]
    with pytest.raises(Overloaded):
        book.enter(10)
    assert [await book.turn(ticket) for ticket in tickets] == [10, 10]


@virtual_time
async def test_a_queue_of_long_prompts_is_not_full_for_a_short_one() -> None:
    book = turns(parallel=2, queue=1)
    longs = [book.enter(1000) for _ in range(3)]
    await book.turn(longs[0])
    waiting = [asyncio.create_task(book.turn(long)) for long in longs[1:]]
    with pytest.raises(Overloaded):
        book.enter(1000)
    short = book.enter(30)
    book.read(longs[0], 900)
    assert await book.turn(short) == 30
    assert not any(task.done() for task in waiting)
    with pytest.raises(Overloaded):
        book.enter(30)
    book.close()
    await asyncio.gather(*waiting, return_exceptions=True)


@virtual_time
async def test_the_short_prompt_reads_between_two_pieces_of_the_long_one() -> None:
    book = turns()
    long, short = book.enter(1000), book.enter(30)
    assert await book.turn(long) == PIECE
    waiting = asyncio.create_task(book.turn(short))
    await settle()
    assert not waiting.done()
    book.read(long, 1000 - PIECE)
    again = asyncio.create_task(book.turn(long))
    assert await waiting == 30
    await settle()
    assert not again.done()
    book.read(short, 0)
    for _ in range(STEPS):
        assert not again.done()
        book.step()
    assert await again == SHARED_PIECE


@virtual_time
async def test_decoders_that_show_nothing_hold_up_a_reader_only_for_a_moment() -> None:
    book = turns()
    await answer(book, book.enter(1))
    long = book.enter(1000)
    book.read(long, 1000 - await book.turn(long))
    started = asyncio.get_running_loop().time()
    assert await book.turn(long) == SHARED_PIECE
    assert asyncio.get_running_loop().time() - started == pytest.approx(REST_S)


@virtual_time
async def test_whoever_leaves_makes_room_from_wherever_it_was() -> None:
    book = turns(parallel=1, queue=2)
    reading, queued, last = book.enter(1000), book.enter(10), book.enter(10)
    await book.turn(reading)
    waiting = asyncio.create_task(book.turn(queued))
    await settle()
    book.withdraw(queued)
    with pytest.raises(ModelUnavailable):
        await waiting
    book.leave(queued)
    book.leave(reading)
    book.leave(reading)
    assert await book.turn(last) == 10
    assert (book.running, book.waiting) == (1, 0)


@virtual_time
async def test_a_cancelled_wait_gets_no_turn() -> None:
    book = turns(parallel=1)
    first, second = book.enter(1), book.enter(1)
    await book.turn(first)
    waiting = asyncio.create_task(book.turn(second))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    book.leave(first)
    assert (book.running, book.waiting) == (0, 1)
    book.leave(second)


@virtual_time
async def test_after_the_end_nobody_gets_a_turn() -> None:
    book = turns(parallel=1)
    await answer(book, book.enter(1))
    waiting = asyncio.create_task(book.turn(book.enter(1)))
    await settle()
    book.close()
    with pytest.raises(ModelUnavailable):
        await waiting
    with pytest.raises(ModelUnavailable):
        await book.turn(book.enter(1))
