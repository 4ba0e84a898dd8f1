"""From parsed blocks to chunks: along headings, paragraphs and sentences, within a token budget.

Rules (docs/indexing-documents.md gives the reasons):
1. A heading ends a chunk, except that a section shorter than `min_tokens` joins the next ones below the same parent.
2. A question with its answer is a chunk of its own, however short.
3. A section above `max_tokens` is divided into parts of about equal size, at paragraph ends where possible and only
   ever between sentences. `max_tokens` counts the heading path too, because it is embedded with the text.
4. A single sentence above the budget is cut at clauses, then at spaces, then anywhere.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from math import ceil

from voicehelper.documents.model import Chunk, ChunkLimits, ParsedDocument
from voicehelper.documents.sections import Path, common_path, divide, may_join
from voicehelper.documents.units import MeasuredSection, Unit, cut_long, measure, units_of

TokenCounter = Callable[[Sequence[str]], list[int]]
AsyncTokenCounter = Callable[[Sequence[str]], Awaitable[list[int]]]
_Counting = Generator[list[str], list[int], list[Chunk]]

_TEXT_SHARE = 0.5  # of max_tokens is left to the text, however long the heading path
_PARAGRAPH_FROM = 0.8  # of a part's target size: from here on a paragraph's end closes it


def chunk_document(parsed: ParsedDocument, count_tokens: TokenCounter, limits: ChunkLimits) -> list[Chunk]:
    """Chunks of `parsed` in order; deterministic. `count_tokens` is called with few, large batches."""
    steps = _chunk(parsed, limits)
    counts: list[int] | None = None
    while True:
        chunks, wanted = _advance(steps, counts)
        if chunks is not None:
            return chunks
        counts = count_tokens(wanted)


async def chunk_document_async(
    parsed: ParsedDocument, count_tokens: AsyncTokenCounter, limits: ChunkLimits
) -> list[Chunk]:
    """The same with a counter that is awaited (`Embedder.count_tokens`); the splitting runs in a thread."""
    steps = _chunk(parsed, limits)
    counts: list[int] | None = None
    while True:
        chunks, wanted = await asyncio.to_thread(_advance, steps, counts)
        if chunks is not None:
            return chunks
        counts = await count_tokens(wanted)


def _advance(steps: _Counting, counts: list[int] | None) -> tuple[list[Chunk] | None, list[str]]:
    try:
        return None, next(steps) if counts is None else steps.send(counts)
    except StopIteration as stop:
        return stop.value, []


def _chunk(parsed: ParsedDocument, limits: ChunkLimits) -> _Counting:
    """Yields texts to be counted, is sent their token counts, returns the chunks."""
    text = parsed.text
    sections = [
        MeasuredSection(section, units_of(section.leads, len(text)), units_of(section.body, len(text)))
        for section in divide(parsed)
    ]
    yield from measure(text, sections)
    budgets = yield from _budgets(sections, limits)
    for item in sections:
        yield from cut_long(text, item, budgets(item.section.path))
    parts = [part for group in _groups(sections, budgets, limits) for part in _divide(group, budgets(group.path))]
    found = [(part, body) for part in parts if (body := text[part.units[0].start : part.units[-1].end].rstrip())]
    counts = (yield [body for _, body in found]) if found else []
    return [
        _make(position, part, body, tokens)
        for position, ((part, body), tokens) in enumerate(zip(found, counts, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Part:
    """Units that are or become one chunk, and the heading path above all of them."""

    path: Path
    units: list[Unit]

    @property
    def tokens(self) -> int:
        return sum(unit.tokens for unit in self.units)


def _make(position: int, part: _Part, body: str, tokens: int) -> Chunk:
    first = part.units[0]
    return Chunk(position, body, tokens, part.path, first.page, first.start, first.start + len(body))


def _budgets(
    sections: Sequence[MeasuredSection], limits: ChunkLimits
) -> Generator[list[str], list[int], Callable[[Path], int]]:
    """How many tokens the text below a heading path may have."""
    paths = sorted({item.section.path[:depth] for item in sections for depth in range(1, len(item.section.path) + 1)})
    counts = (yield [" > ".join(path) for path in paths]) if paths else []
    heading_tokens = dict(zip(paths, counts, strict=True))
    least = int(limits.max_tokens * _TEXT_SHARE)
    return lambda path: max(least, limits.max_tokens - heading_tokens.get(path, 0), 1)


def _groups(sections: Sequence[MeasuredSection], budgets: Callable[[Path], int], limits: ChunkLimits) -> list[_Part]:
    """Sections, the short ones merged."""
    groups: list[list[MeasuredSection]] = []
    for item in sections:
        if groups and _size(groups[-1]) < limits.min_tokens and _fits([*groups[-1], item], budgets):
            groups[-1].append(item)
        else:
            groups.append([item])
    merged: list[list[MeasuredSection]] = []
    for group in groups:  # what is left over at the end of a scope goes to the chunk before
        if merged and _size(group) < limits.min_tokens and _fits([*merged[-1], *group], budgets):
            merged[-1] += group
        else:
            merged.append(group)
    return [_join(group) for group in merged]


def _size(group: Sequence[MeasuredSection]) -> int:
    return group[0].tokens + sum(item.tokens_with_leads for item in group[1:])


def _fits(group: Sequence[MeasuredSection], budgets: Callable[[Path], int]) -> bool:
    if not all(may_join(group[0].section, item.section) for item in group[1:]):
        return False
    return _join(group).tokens <= budgets(common_path(item.section.path for item in group))


def _join(group: Sequence[MeasuredSection]) -> _Part:
    """The group's units; headings below the common path are part of the text, the rest is the path."""
    path = common_path(item.section.path for item in group)
    first = group[0]
    units = [*(first.leads[-1:] if first.section.path != path else ()), *first.body]
    for item in group[1:]:
        units += [*item.leads, *item.body]
    return _Part(path, units)


def _divide(group: _Part, budget: int) -> list[_Part]:
    """`group` in as few parts as the budget allows, of about equal size."""
    parts: list[list[Unit]] = [[]]
    left = group.tokens  # from the start of the part being filled
    size = 0
    for unit in group.units:
        if parts[-1] and _is_full(parts[-1][-1], size, size + unit.tokens, left, budget):
            parts.append([])
            left -= size
            size = 0
        parts[-1].append(unit)
        size += unit.tokens
    return [_Part(group.path, units) for units in parts if units]


def _is_full(last: Unit, size: int, with_next: int, left: int, budget: int) -> bool:
    """Whether a part of `size` tokens that ends with `last` should be closed, of `left` tokens still to be divided."""
    if left <= budget:
        return False
    target = left / ceil(left / budget)
    return with_next > budget or size >= target or (last.ends_block and size >= _PARAGRAPH_FROM * target)
