"""Whose prompt is read next, and how much of it: the policy alone, without time, threads or engine.

A piece of a prompt is one batch of the engine. Everybody else's next token waits for it, so pieces are short while
others decode. The shortest unread rest goes first (it delays the others least); whoever was passed over for long enough
comes before all others for one piece, so that nobody waits for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Figures in docs/adr/0020-llama-cpp-fairness.md.
PIECE = 64  # tokens read at a time while nobody decodes
SHARED_PIECE = 32  # while somebody does
PASSED = 256  # tokens of others, after which a reader has the next piece
LONG = 256  # unread tokens beyond which a prompt may not take the last free slots
STEPS = 2  # tokens that each decoding request gets between two pieces of a longer prompt
REST_S = 0.5  # whatever comes first: what is held back (a tool call's arguments) shows no steps


@dataclass(slots=True)
class Reader:
    """A request whose prompt is not all read.

    Attributes:
        unread: tokens of it that no cache holds.
        passed: tokens of others that were read since it came, or since its last piece.
        seated: whether it has a slot.
    """

    unread: int
    passed: int = 0
    seated: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine does now.

    Attributes:
        free_slots: without a request.
        long_seats: free slots that a long prompt may still take.
        reading: tokens of the pieces being read.
        decoding: requests that produce output.
        steps: tokens each of those produced since the last piece of a prompt that was not its end.
        rested_s: since then.
    """

    free_slots: int
    long_seats: int
    reading: int = 0
    decoding: int = 0
    steps: float = STEPS
    rested_s: float = REST_S


@dataclass(frozen=True, slots=True)
class Piece:
    """`tokens` of the prompt of `reader` (an index) are to be read now."""

    reader: int
    tokens: int


def long_slots(parallel: int) -> int:
    """How many of the slots may hold long prompts: a quarter of them, at least one, is left to short ones."""
    return max(1, parallel - max(1, parallel // 4))


def next_piece(readers: Sequence[Reader], load: Load) -> Piece | None:
    """What to read now; None to wait for an event (a piece's end, a free slot, decoded tokens)."""
    chosen = _chosen(readers, load)
    if chosen is None:
        return None
    unread = readers[chosen].unread
    most = SHARED_PIECE if load.decoding else PIECE
    if unread <= most - load.reading:
        return Piece(chosen, unread)
    if load.reading or _decoders_first(load):
        return None
    return Piece(chosen, min(unread, most))


def pass_over(readers: Sequence[Reader], piece: Piece) -> None:
    """Note that `piece` is read before all the others."""
    for index, reader in enumerate(readers):
        reader.passed = 0 if index == piece.reader else reader.passed + piece.tokens


def _chosen(readers: Sequence[Reader], load: Load) -> int | None:
    """Who has waited too long, else the shortest; of equals the first who came."""
    able = [index for index, reader in enumerate(readers) if _has_place(reader, load)]
    overdue = [index for index in able if readers[index].passed >= PASSED]
    if overdue:
        return max(overdue, key=lambda index: readers[index].passed)
    return min(able, key=lambda index: readers[index].unread, default=None)


def _has_place(reader: Reader, load: Load) -> bool:
    if reader.seated:
        return True
    return load.free_slots > 0 and (reader.unread <= LONG or load.long_seats > 0)


def _decoders_first(load: Load) -> bool:
    return load.decoding > 0 and load.steps < STEPS and load.rested_s < REST_S
