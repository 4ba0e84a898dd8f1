"""Which slot a request gets, by what the slots have read."""

from actors.chat.slots import Seat, Slots, as_tokens

RULES = list(range(100))


def test_the_longest_common_beginning_decides() -> None:
    slots = Slots(3)
    prompts = [[*RULES, 1, 2], [*RULES[:50], 7], [9, 9]]
    seats = [slots.take(as_tokens(prompt)) for prompt in prompts]
    for seat, prompt in zip(seats, prompts, strict=True):
        slots.give(seat.slot, as_tokens(prompt))
    assert slots.take(as_tokens([*RULES, 1, 5])) == Seat(0, 101, restore=False)
    assert slots.take(as_tokens([*RULES, 1, 5])) == Seat(1, 50, restore=False), "the first is taken"
    assert slots.unread(as_tokens([9, 9, 9])) == 1


def test_a_few_tokens_in_common_do_not_drive_out_a_long_prompt() -> None:
    slots = Slots(2)
    slots.give(slots.take(as_tokens(RULES)).slot, as_tokens(RULES))
    assert slots.take(as_tokens([*RULES[:10], 7])) == Seat(1, 0, restore=False)


def test_a_slot_that_holds_nothing_of_use_is_the_least_recently_used_one() -> None:
    slots = Slots(2)
    first, second = slots.take(as_tokens([1])), slots.take(as_tokens([2]))
    slots.give(second.slot, as_tokens([2]))
    slots.give(first.slot, as_tokens([1]))
    assert slots.take(as_tokens([3])).slot == second.slot


def test_what_is_saved_is_restored_where_it_saves_reading() -> None:
    slots = Slots(2, saved=as_tokens(RULES))
    assert slots.unread(as_tokens([*RULES, 5, 6])) == 2
    assert slots.take(as_tokens([*RULES, 5, 6])) == Seat(0, 100, restore=True)
    slots.give(0, as_tokens([*RULES[:90], 4]))
    slots.give(slots.take(as_tokens([3])).slot, as_tokens([3]))
    assert slots.take(as_tokens([*RULES, 8])) == Seat(0, 90, restore=False), "ten tokens are read as fast"


def test_a_prompt_that_was_read_whole_needs_its_last_token_again() -> None:
    slots = Slots(1, saved=as_tokens(RULES))
    assert slots.unread(as_tokens(RULES)) == 1
    assert slots.unread(as_tokens([])) == 1


def test_while_all_slots_are_taken_any_of_them_may_be_free_next() -> None:
    slots = Slots(1)
    slots.give(slots.take(as_tokens(RULES)).slot, as_tokens(RULES))
    slots.take(as_tokens(RULES))
    assert slots.unread(as_tokens([*RULES, 1])) == 1
