"""Cuts an answer, while it is being written, into clauses that can be spoken one by one. Chinese and English.

The first clause is as short as sounds natural, since the caller waits for it; later ones are whole sentences, or long
clauses of them. Nothing is cut within numbers, dates, links, abbreviations, quotation marks or brackets.
"""

import re
from dataclasses import dataclass

from voicehelper.voice.clause_marks import Strength, protected, strength_at

# Weights: a Chinese character counts 1, a Latin word 2: about the time it takes to say them.
_FIRST_LEAST = 2
_FIRST_SOFT = 6
_FIRST_MOST = 14
_SENTENCE_LEAST = 4
_CLAUSE_LEAST = 16
_MOST = 60
_STALLED_LEAST = 4
_FALL_BACK = {Strength.PHRASE: _FIRST_SOFT, Strength.CLAUSE: _FIRST_LEAST}

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9'’._%-]*|[\u2e80-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A clause of the answer: its characters `start` to `end` (all of them: the next piece begins there)."""

    text: str
    start: int
    end: int


class ClauseSplitter:
    """Takes an answer piece by piece, gives it clause by clause.

    Args:
        start: where in the answer to begin: what is before is known, and not said again.
    """

    def __init__(self, start: int = 0, first: bool = True) -> None:
        self._text = ""
        self._from = start
        self._first = first
        self._ended = False

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text

    @property
    def done(self) -> bool:
        """Whether the answer has ended and all of it was taken."""
        return self._ended and self._from >= len(self._text)

    def feed(self, delta: str) -> None:
        """More of the answer."""
        self._text += delta

    def finish(self) -> None:
        """The answer has ended."""
        self._ended = True

    def skip(self, end: int) -> None:
        """What is before character `end` is not to be said."""
        self._from = max(self._from, end)

    def take(self, stalled: bool = False) -> Piece | None:
        """The next clause, or None where more text is needed to tell. `stalled`: no text came for a while."""
        if self._from >= len(self._text):
            return None
        end = self._cut(stalled)
        if end is None:
            return None
        piece = Piece(self._text[self._from : end], self._from, end)
        self._from = end
        if weight(piece.text):
            self._first = False
        return piece

    def _cut(self, stalled: bool) -> int | None:
        """Where the next clause ends."""
        text, start = self._text, self._from
        fenced = _fence_end(text, start, self._ended)
        if fenced is not None:
            return fenced or None
        spans = protected(text, start, self._ended)
        best: tuple[int, int] | None = None  # strength, end
        heavy = 0
        for end, gained in _steps(text, start):
            heavy += gained
            if not heavy or any(low < end < high for low, high in spans):
                continue
            strength = strength_at(text, end, self._ended)
            if strength is None:
                break  # the next characters decide
            if strength >= self._wanted(heavy, strength):
                return end
            if heavy >= _FALL_BACK.get(strength, 0) and strength >= (best[0] if best else Strength.PHRASE):
                best = (strength, end)
            if heavy >= (_FIRST_MOST if self._first else _MOST) and best is not None:
                return best[1]
            if heavy >= 2 * _MOST:
                return end
        if self._ended:
            return len(text)
        return best[1] if stalled and best is not None and heavy >= _STALLED_LEAST else None

    def _wanted(self, heavy: int, strength: Strength) -> Strength:
        """The weakest mark that ends a clause of this weight."""
        if strength is Strength.LINE:
            return Strength.LINE
        if self._first:
            least = {Strength.SENTENCE: 1, Strength.CLAUSE: _FIRST_LEAST, Strength.PHRASE: _FIRST_SOFT}
        else:
            least = {Strength.SENTENCE: _SENTENCE_LEAST, Strength.CLAUSE: _CLAUSE_LEAST}
        enough = [mark for mark, floor in least.items() if heavy >= floor]
        return min(enough, default=Strength.LINE)


def weight(text: str) -> int:
    """About how long it takes to say `text`: Chinese characters 1 each, Latin words 2."""
    return sum(1 if word > "\u2e7f" else 2 for word in _TOKEN.findall(text))


def _steps(text: str, start: int) -> list[tuple[int, int]]:
    """Possible ends of a clause, each with the weight since the one before."""
    steps = []
    for token in re.finditer(r"[A-Za-z0-9][A-Za-z0-9'’_-]*|\s+|.", text[start:], re.DOTALL):
        steps.append((start + token.end(), weight(token.group())))
    return steps


def _fence_end(text: str, start: int, ended: bool) -> int | None:
    """The end of a fenced block of code at `start`: 0 while it has not come, None where there is no such block."""
    fence = re.match(r"\s*(```|~~~)", text[start:])
    if fence is None:
        return None
    close = text.find("\n" + fence[1], start + fence.end())
    if close < 0:
        return len(text) if ended else 0
    line = text.find("\n", close + 4)
    if line < 0:
        return len(text) if ended else 0
    return line + 1
