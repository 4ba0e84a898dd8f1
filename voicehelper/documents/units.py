"""The smallest pieces a chunk is made of: sentences, or parts of a sentence that is too long for any chunk."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from voicehelper.documents.sections import Placed, Section
from voicehelper.documents.sentences import split_sentences

Counts = Generator[list[str], list[int], None]

_CLAUSE_END = re.compile(r"[，、：；—][”’）)】」』]*|[,;:][\"')]*(?=\s)")
_SPACE = re.compile(r"\s+")
_SAFETY = 0.9  # pieces are cut by a share of characters; tokens are not spread evenly


@dataclass(frozen=True, slots=True)
class Unit:
    """Characters `start` to `end` of the document's text, with the white space that follows them.

    `ends_block`: a paragraph, row group or list item ends here.
    """

    start: int
    end: int
    page: int | None
    ends_block: bool
    tokens: int = 0


@dataclass(slots=True)
class MeasuredSection:
    """A section with the units of its headings and of its body."""

    section: Section
    leads: list[Unit]
    body: list[Unit]

    @property
    def tokens(self) -> int:
        """Of the body."""
        return sum(unit.tokens for unit in self.body)

    @property
    def tokens_with_leads(self) -> int:
        """Of the headings and the body."""
        return self.tokens + sum(unit.tokens for unit in self.leads)


def units_of(placed: Sequence[Placed], text_length: int) -> list[Unit]:
    """One unit per sentence of the blocks."""
    units: list[Unit] = []
    for item in placed:
        block_end = item.start + len(item.block.text)
        starts = [item.start + start for start, _ in split_sentences(item.block.text)] or [item.start]
        starts[0] = item.start
        ends = [*starts[1:], min(text_length, block_end + 1)]
        units += [
            Unit(start, end, item.block.page, ends_block=end > block_end or end == text_length)
            for start, end in zip(starts, ends, strict=True)
        ]
    return units


def measure(text: str, sections: Sequence[MeasuredSection]) -> Counts:
    """Fill in the tokens of all units. Yields texts, is sent counts."""
    everything = [unit for item in sections for unit in (*item.leads, *item.body)]
    counts = iter((yield [text[unit.start : unit.end] for unit in everything]) if everything else ())
    for item in sections:
        item.leads = [replace(unit, tokens=next(counts)) for unit in item.leads]
        item.body = [replace(unit, tokens=next(counts)) for unit in item.body]


def cut_long(text: str, item: MeasuredSection, budget: int) -> Counts:
    """Replace units of `item` above `budget` by parts below it (a single character may stay above)."""
    while any(_too_long(unit, budget) for unit in item.body):
        parts = [part for unit in item.body for part in (_cut(text, unit, budget) if _too_long(unit, budget) else ())]
        counts = iter((yield [text[part.start : part.end] for part in parts]))
        measured = iter([replace(part, tokens=next(counts)) for part in parts])
        item.body = [
            part
            for unit in item.body
            for part in ([next(measured) for _ in _cut(text, unit, budget)] if _too_long(unit, budget) else [unit])
        ]


def _too_long(unit: Unit, budget: int) -> bool:
    return unit.tokens > budget and unit.end - unit.start > 1


def _cut(text: str, unit: Unit, budget: int) -> list[Unit]:
    """`unit` in parts of about `budget` tokens: at clause ends, else at spaces, else anywhere."""
    size = max(1, min(int((unit.end - unit.start) * _SAFETY * budget / unit.tokens), unit.end - unit.start - 1))
    edges = [unit.start]
    while unit.end - edges[-1] > size:
        edges.append(_edge(text, edges[-1], edges[-1] + size))
    edges.append(unit.end)
    return [
        replace(unit, start=start, end=end, ends_block=unit.ends_block and end == unit.end)
        for start, end in pairwise(edges)
    ]


def _edge(text: str, start: int, limit: int) -> int:
    """Where to cut: the last clause end in the second half of the range, else its last space, else its end."""
    for pattern in (_CLAUSE_END, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, start + (limit - start) // 2, limit)]
        if ends and ends[-1] > start:
            return ends[-1]
    return limit
