"""Which slot a request gets, by what the slots have read."""

from actors.chat.slots import Seat, Slots, as_tokens

RULES = list(range(100))


def test_the_longest_common_beginning_decides() -> None:
    slots = Slots(3)
    prompts = [[*RULES, 1, 2], [*RULES[:50], 7], [9, 9]]
    seats = [slots.take(as_tokens(prompt)) for prompt in prompts]
    for seat, prompt in zip(seats, prompts, strict=True):
        slots.give(seat.slot, as_tokens(prompt))
    assert slots.take(as_tokens([*RULES, 1, 5])) == Seat(0, 101)
    assert slots.take(as_tokens([*RULES, 1, 5])) == Seat(1, 50), "the first is taken"
    assert slots.unread(as_tokens([9, 9, 9])) == 1


def test_a_few_tokens_in_common_do_not_drive_out_a_long_prompt() -> None:
    slots = Slots(2)
    slots.give(slots.take(as_tokens(RULES)).slot, as_tokens(RULES))
    assert slots.take(as_tokens([*RULES[:10], 7])) == Seat(1, 0)


def test_a_slot_that_holds_nothing_of_use_is_the_least_recently_used_one() -> None:
    slots = Slots(2)
    first, second = slots.take(as_tokens([1])), slots.take(as_tokens([2]))
    slots.give(second.slot, as_tokens([2]))
    slots.give(first.slot, as_tokens([1]))
    assert slots.take(as_tokens([3])).slot == second.slot


def kept(parallel: int) -> Slots:
    """The first request read `RULES`, and was saved."""
    slots = Slots(parallel)
    seat = slots.take(as_tokens(RULES))
    assert slots.keep(seat, as_tokens(RULES)) == "kept-0"
    slots.give(seat.slot, as_tokens(RULES))
    return slots


def test_what_is_saved_is_restored_where_it_saves_reading() -> None:
    slots = kept(2)
    slots.give(slots.take(as_tokens([*RULES, 5])).slot, as_tokens([3]))
    assert slots.unread(as_tokens([*RULES, 5, 6])) == 2
    assert slots.take(as_tokens([*RULES, 5, 6])) == Seat(1, 100, "kept-0")
    slots.give(1, as_tokens([*RULES[:90], 4]))
    assert slots.take(as_tokens([*RULES, 8])) == Seat(1, 90), "ten tokens are read as fast"


def test_what_several_at_once_begin_with_is_saved() -> None:
    slots = kept(2)
    other = list(range(500, 600))
    first, second = (slots.take(as_tokens([*other, n])) for n in (1, 2))
    assert (first.missed, second.missed) == (0, 100)
    assert slots.keep(first, as_tokens([*other, 1])) == ""
    assert slots.keep(second, as_tokens([*other, 2])) == "kept-1"
    slots.give(first.slot, as_tokens([7]))
    slots.give(second.slot, as_tokens([8]))
    assert slots.take(as_tokens([*other, 3])).restore == "kept-1"
    late = Seat(0, 0, missed=100)
    assert slots.keep(late, as_tokens([*other, 4])) == "", "it is saved already"


def test_so_many_are_saved_and_never_instead_of_the_first() -> None:
    slots = kept(1)
    for n, name in ((1, "kept-1"), (2, "kept-2"), (3, "kept-3"), (4, "kept-1"), (5, "kept-2")):
        assert slots.keep(Seat(0, 0, missed=100), as_tokens([n] * 100)) == name
    assert slots.unread(as_tokens([*RULES, 1])) == 1
    assert slots.unread(as_tokens([1] * 100)) == 100
    assert slots.take(as_tokens([3] * 100)).restore == "kept-3"
    assert slots.keep(Seat(0, 0, missed=100), as_tokens([6] * 100)) == "kept-1", "of the others the least recently used"


def test_a_prompt_that_was_read_whole_needs_its_last_token_again() -> None:
    slots = kept(1)
    assert slots.unread(as_tokens(RULES)) == 1
    assert slots.unread(as_tokens([])) == 1


def test_while_all_slots_are_taken_any_of_them_may_be_free_next() -> None:
    slots = Slots(1)
    slots.give(slots.take(as_tokens(RULES)).slot, as_tokens(RULES))
    slots.take(as_tokens(RULES))
    assert slots.unread(as_tokens([*RULES, 1])) == 1
