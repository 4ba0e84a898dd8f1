"""What each slot of the engine has read, which one a request should get, and which states are worth saving."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]

# Restoring a saved state takes milliseconds, reading a token 10 to 20.
_WORTH_RESTORING = 16
# Saving writes 28 KiB a token (1.5B model).
_WORTH_SAVING = 64
_MOST_SAVED = 4
# A token that a slot holds for nobody may be asked for again: two that begin alike with "You are ..." are not one.
_LOSS = 0.25


def as_tokens(tokens: Sequence[int]) -> Tokens:
    """Token numbers in the form this module compares."""
    return np.asarray(tokens, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Seat:
    """A slot for a request.

    Attributes:
        slot: its number.
        cached: tokens of the prompt that it need not read.
        restore: the saved state it must be given first, or empty.
        missed: tokens that only slots at work hold, when that is much more.
    """

    slot: int
    cached: int
    restore: str = ""
    missed: int = 0


@dataclass
class Slots:
    """Books of `parallel` slots, and of the states saved from them. They may be wrong about the engine (its request was
    cut short): it compares again itself, so that costs time, not correctness."""

    parallel: int
    _held: list[Tokens] = field(init=False)
    _free: list[int] = field(init=False)  # least recently used first
    _saved: dict[str, Tokens] = field(default_factory=dict, init=False)  # likewise, after the first of all

    def __post_init__(self) -> None:
        self._held = [as_tokens(()) for _ in range(self.parallel)]
        self._free = list(range(self.parallel))

    def unread(self, tokens: Tokens) -> int:
        """How many of these tokens will have to be read, by what is known now; at least the last one."""
        slot = self._best(tokens, self._free or range(self.parallel))
        return max(1, len(tokens) - max(_common(self._held[slot], tokens), self._kept(tokens)[0]))

    def take(self, tokens: Tokens) -> Seat:
        """A free slot (there must be one), and how much of `tokens` it will hold."""
        slot = self._best(tokens, self._free)
        cached = _common(self._held[slot], tokens)
        kept, restore = self._kept(tokens)
        if kept < cached + _WORTH_RESTORING:
            restore = ""
        else:
            slot, cached = self._free[0], kept
            self._used(restore)
        missed = max((_common(held, tokens) for held in self._busy()), default=0)
        self._free.remove(slot)
        self._held[slot] = tokens
        return Seat(slot, cached, restore, missed if missed >= cached + _WORTH_SAVING else 0)

    def give(self, slot: int, tokens: Tokens) -> None:
        """`slot` is free, and has read `tokens`."""
        self._held[slot] = tokens
        self._free.append(slot)

    def keep(self, seat: Seat, tokens: Tokens) -> str:
        """The name under which the state of `seat`, which has read `tokens`, is to be saved; empty if it is not.

        The very first is (that is the product's own prompt), and one that had to be read though others were reading
        the same: several requests at once begin so.
        """
        if self._saved and seat.missed < self._kept(tokens)[0] + _WORTH_SAVING:
            return ""
        names = list(self._saved)
        unused = (name for name in (f"kept-{n}" for n in range(_MOST_SAVED)) if name not in names)
        name = next(unused, None) or names[1]
        self._saved.pop(name, None)
        self._saved[name] = tokens
        return name

    def forget(self, name: str) -> None:
        """That state is not there."""
        self._saved.pop(name, None)

    def _used(self, name: str) -> None:
        if name != next(iter(self._saved)):
            self._saved[name] = self._saved.pop(name)

    def _busy(self) -> list[Tokens]:
        return [self._held[slot] for slot in range(self.parallel) if slot not in self._free]

    def _best(self, tokens: Tokens, slots: Iterable[int]) -> int:
        """The slot with the longest beginning of `tokens` and the least else to lose; of equals the first."""
        return max(slots, key=lambda slot: self._worth(self._held[slot], tokens))

    def _worth(self, held: Tokens, tokens: Tokens) -> float:
        cached = _common(held, tokens)
        return cached - _LOSS * (len(held) - cached)

    def _kept(self, tokens: Tokens) -> tuple[int, str]:
        """The longest beginning of `tokens` that is saved, and where."""
        return max(((_common(held, tokens), name) for name, held in self._saved.items()), default=(0, ""))


def _common(held: Tokens, tokens: Tokens) -> int:
    """Length of the common beginning."""
    most = min(len(held), len(tokens))
    differ = held[:most] != tokens[:most]
    return int(differ.argmax()) if differ.any() else most
