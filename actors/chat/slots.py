"""What each slot of the engine has read, and which one a request should get."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]

# Restoring a saved state takes milliseconds, reading a token 10 to 20.
_WORTH_RESTORING = 16
# A token that a slot holds for nobody may be asked for again: two that begin alike with "You are ..." are not one.
_LOSS = 0.25


def as_tokens(tokens: Sequence[int]) -> Tokens:
    """Token numbers in the form this module compares."""
    return np.asarray(tokens, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Seat:
    """A slot for a request: `cached` tokens of its prompt need not be read, once it is restored where that is told."""

    slot: int
    cached: int
    restore: bool


@dataclass
class Slots:
    """Books of `parallel` slots, and of the one saved state. They may be wrong about the engine (its request was cut
    short): it compares again itself, so that costs time, not correctness."""

    parallel: int
    saved: Tokens | None = None
    _held: list[Tokens] = field(init=False)
    _free: list[int] = field(init=False)  # least recently used first

    def __post_init__(self) -> None:
        self._held = [as_tokens(()) for _ in range(self.parallel)]
        self._free = list(range(self.parallel))

    def unread(self, tokens: Tokens) -> int:
        """How many of these tokens will have to be read, by what is known now; at least the last one."""
        slot = self._best(tokens, self._free or range(self.parallel))
        return max(1, len(tokens) - max(_common(self._held[slot], tokens), self._kept(tokens)))

    def take(self, tokens: Tokens) -> Seat:
        """A free slot (there must be one), and how much of `tokens` it will hold."""
        slot = self._best(tokens, self._free)
        cached, kept = _common(self._held[slot], tokens), self._kept(tokens)
        restore = kept >= cached + _WORTH_RESTORING
        if restore:
            slot = self._free[0]
        self._free.remove(slot)
        return Seat(slot, kept if restore else cached, restore)

    def give(self, slot: int, tokens: Tokens) -> None:
        """`slot` is free, and has read `tokens`."""
        self._held[slot] = tokens
        self._free.append(slot)

    def _best(self, tokens: Tokens, slots: Iterable[int]) -> int:
        """The slot with the longest beginning of `tokens` and the least else to lose; of equals the first."""
        return max(slots, key=lambda slot: self._worth(self._held[slot], tokens))

    def _worth(self, held: Tokens, tokens: Tokens) -> float:
        cached = _common(held, tokens)
        return cached - _LOSS * (len(held) - cached)

    def _kept(self, tokens: Tokens) -> int:
        return 0 if self.saved is None else _common(self.saved, tokens)


def _common(held: Tokens, tokens: Tokens) -> int:
    """Length of the common beginning."""
    most = min(len(held), len(tokens))
    differ = held[:most] != tokens[:most]
    return int(differ.argmax()) if differ.any() else most
