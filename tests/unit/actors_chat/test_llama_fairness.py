"""Whose prompt is read next: the policy alone, and simulated engines that follow it."""

from dataclasses import dataclass, field

import pytest

from actors.chat.fairness import (
    LONG,
    PASSED,
    PIECE,
    SHARED_PIECE,
    STEPS,
    Load,
    Piece,
    Reader,
    long_slots,
    next_piece,
    pass_over,
)

FREE = Load(free_slots=4, long_seats=3)


def test_the_shortest_rest_first_and_of_equals_the_first_who_came() -> None:
    assert next_piece([Reader(1500), Reader(30), Reader(200)], FREE) == Piece(1, 30)
    assert next_piece([Reader(30), Reader(30)], FREE) == Piece(0, 30)
    assert next_piece([Reader(1500, seated=True), Reader(900)], FREE) == Piece(1, PIECE)
    assert next_piece([], FREE) is None


def test_short_rests_share_a_batch_and_a_long_prompt_has_one_of_its_own() -> None:
    assert next_piece([Reader(30)], Load(4, 3, reading=30)) == Piece(0, 30)
    assert next_piece([Reader(30)], Load(4, 3, reading=60)) is None
    assert next_piece([Reader(900)], Load(4, 3, reading=1)) is None


def test_pieces_are_short_while_others_decode_and_those_have_steps_between() -> None:
    assert next_piece([Reader(900)], Load(4, 3, decoding=1)) == Piece(0, SHARED_PIECE)
    tired = Load(4, 3, decoding=2, steps=STEPS - 0.5, rested_s=0.1)
    assert next_piece([Reader(900)], tired) is None
    assert next_piece([Reader(900), Reader(20)], tired) == Piece(1, 20), "its first token waits for nobody's tenth"
    assert next_piece([Reader(900)], Load(4, 3, decoding=2, steps=0, rested_s=1.0)) == Piece(0, SHARED_PIECE)


def test_whoever_was_passed_over_for_long_enough_comes_first_for_one_piece() -> None:
    readers = [Reader(1500, passed=PASSED), Reader(30), Reader(1400, passed=PASSED + 1)]
    piece = next_piece(readers, FREE)
    assert piece == Piece(2, PIECE)
    pass_over(readers, piece)
    assert [reader.passed for reader in readers] == [PASSED + PIECE, PIECE, 0]


@pytest.mark.parametrize(("parallel", "long"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6)])
def test_long_prompts_leave_slots_to_short_ones(parallel: int, long: int) -> None:
    assert long_slots(parallel) == long
    assert next_piece([Reader(LONG + 1), Reader(LONG)], Load(1, 0)) == Piece(1, PIECE)
    assert next_piece([Reader(LONG + 1)], Load(1, 0)) is None
    assert next_piece([Reader(LONG + 1, seated=True)], Load(0, 0)) == Piece(0, PIECE)
    assert next_piece([Reader(5)], Load(0, 0)) is None


@dataclass
class FakeBatches:
    """An engine that reads one piece after the other; a token costs 1, a batch 3 more."""

    at: float = 0.0
    first_token: dict[str, float] = field(default_factory=dict)

    def run(self, arrivals: list[tuple[float, str, int]], until: float) -> None:
        names: list[str] = []
        readers: list[Reader] = []
        while self.at < until and (arrivals or readers):
            while arrivals and arrivals[0][0] <= self.at:
                _, name, unread = arrivals.pop(0)
                names.append(name)
                readers.append(Reader(unread))
            piece = next_piece(readers, FREE)
            if piece is None:
                self.at = arrivals[0][0]
                continue
            pass_over(readers, piece)
            self.at += piece.tokens + 3
            readers[piece.reader].unread -= piece.tokens
            if not readers[piece.reader].unread:
                readers.pop(piece.reader)
                self.first_token[names.pop(piece.reader)] = self.at


def test_a_short_prompt_beside_a_long_one_waits_for_one_piece_at_most() -> None:
    for arrival in range(1, 67 * 3):
        engine = FakeBatches()
        engine.run([(0, "long", 1500), (arrival, "short", 30)], until=3000)
        assert engine.first_token["short"] - arrival <= PIECE + 3 + 30 + 3


def test_a_long_prompt_among_endless_short_ones_is_read_in_its_share() -> None:
    """Short prompts that leave it a fifth of the engine."""
    shorts = [(at * 41.0, f"s{at}", 30) for at in range(2000)]
    engine = FakeBatches()
    engine.run([(0, "long", 1500), *shorts], until=60_000)
    assert engine.first_token["long"] < 1500 / 0.15
