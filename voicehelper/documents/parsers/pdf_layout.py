"""From a PDF's lines to headings and paragraphs, by geometry and type size."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from voicehelper.documents.cleaning import clean_line
from voicehelper.documents.parsers.blocks import BlockList, join_lines
from voicehelper.documents.parsers.plain import columns, heading_level, starts_item

_MARGIN_ZONE = 0.12  # share of the page's height at top and bottom where running heads live
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:第\s*)?\d{1,4}\s*(?:页|頁)?(?:\s*[/／,，]?\s*(?:共\s*)?\d{1,4}\s*(?:页|頁)?)?[-–—\s]*"
    r"|page\s+\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_ENDS = tuple("。！？；…!?;：:”」』")
_HEADING_COLUMNS = 80
_LARGER = 1.12  # of the body's type size
_SMALLER = 0.9
_PARAGRAPH_GAP = 1.35  # of the usual distance between lines


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text on a page. Lengths in points, `top` from the page's top edge, `depth` the same as a share."""

    text: str
    left: float
    right: float
    top: float
    size: float
    bold: bool
    depth: float


@dataclass(frozen=True, slots=True)
class _Metrics:
    """The document's body text: type size, usual line distance, sizes above it (largest first)."""

    size: float
    leading: float
    heading_sizes: tuple[float, ...]


def add_paragraphs(blocks: BlockList, pages: Sequence[Sequence[Line]]) -> None:
    """Join the lines of `pages` into headings and paragraphs of `blocks`, without running heads and page numbers."""
    kept = _without_running_heads(pages)
    joiner = _Joiner(blocks, _measure(kept))
    for number, lines in enumerate(kept, start=1):
        joiner.page(number, lines)
    joiner.flush()


class _Joiner:
    """Holds the paragraph being joined; it may run over the end of a page."""

    def __init__(self, blocks: BlockList, metrics: _Metrics) -> None:
        self._blocks = blocks
        self._metrics = metrics
        self._text = ""
        self._page = 1
        self._level = 0

    def page(self, number: int, lines: Sequence[Line]) -> None:
        """Add one page's lines."""
        left = min((line.left for line in lines), default=0.0)
        right = max((line.right for line in lines), default=0.0)
        before: Line | None = None
        for line in lines:
            level = _heading_level(line, self._metrics)
            indented = line.left > left + 1.5 * self._metrics.size
            full = before is not None and before.right + _first_word_width(line) >= right - line.size
            if self._text and level == self._level and self._runs_on(before, line, indented, full):
                self._text = join_lines(self._text, line.text)
            else:
                self.flush()
                self._text, self._page, self._level = line.text, number, level
            before = line

    def flush(self) -> None:
        """Hand the paragraph over."""
        if self._level:
            self._blocks.heading(self._text, self._level, self._page)
        else:
            self._blocks.text(clean_line(self._text), self._page)
        self._text = ""

    def _runs_on(self, before: Line | None, line: Line, indented: bool, full: bool) -> bool:
        """Whether `line` continues the paragraph whose last line is `before` (None: it stands on the page before)."""
        if self._level:
            return before is not None and 0 < line.top - before.top < 2 * line.size
        if starts_item(line.text) or indented:
            return False
        ended = self._text.endswith((*_ENDS, "."))
        if before is None:
            return not ended
        if not 0 <= line.top - before.top <= _PARAGRAPH_GAP * self._metrics.leading:
            return False
        return full or (line.text[:1].islower() and not ended)


def _first_word_width(line: Line) -> float:
    """What the line before had no room for: one Chinese character, or a whole English word."""
    word = line.text.split(maxsplit=1)[0]
    latin = len(word) if word.isascii() else 0
    return line.size if not latin else (line.right - line.left) * (latin + 1) / len(line.text)


def _without_running_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Without page numbers, lines at top or bottom that most pages repeat, and small print above the first heading."""
    seen = Counter(key for page in pages for key in {_key(line) for line in page if _in_margin(line)})
    needed = max(2, round(0.6 * len(pages)))
    body = _measure(pages).size
    return [
        [line for index, line in enumerate(page) if not _is_running_head(line, seen[_key(line)] >= needed, index, body)]
        for page in pages
    ]


def _is_running_head(line: Line, repeats: bool, index: int, body: float) -> bool:
    if not _in_margin(line):
        return False
    small_at_top = index == 0 and line.depth < _MARGIN_ZONE and line.size < _SMALLER * body
    return repeats or small_at_top or bool(_PAGE_NUMBER.fullmatch(clean_line(line.text)))


def _in_margin(line: Line) -> bool:
    return line.depth < _MARGIN_ZONE or line.depth > 1 - _MARGIN_ZONE


def _key(line: Line) -> str:
    return f"{line.depth < 0.5} {_DIGITS.sub('#', clean_line(line.text))}"


def _measure(pages: Sequence[Sequence[Line]]) -> _Metrics:
    sizes: Counter[float] = Counter()
    gaps: list[float] = []
    for page in pages:
        for line in page:
            sizes[line.size] += len(line.text)
        gaps += [after.top - line.top for line, after in pairwise(page) if after.top > line.top]
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    tight = [gap for gap in gaps if body <= gap <= 3 * body]
    larger = sorted((size for size in sizes if size >= _LARGER * body), reverse=True)
    return _Metrics(body, _lower_median(tight) or 1.5 * body, tuple(larger))


def _lower_median(values: Sequence[float]) -> float:
    """Median of the smaller half: the distance within paragraphs, not between them."""
    ordered = sorted(values)
    return median(ordered[: len(ordered) // 2 + 1]) if ordered else 0.0


def _heading_level(line: Line, metrics: _Metrics) -> int:
    """Level by type size (largest is 1); a bold or numbered short line of body size comes below those."""
    if columns(line.text) > _HEADING_COLUMNS or line.text.endswith(("。", "；", "，", ";", ",")):
        return 0
    if line.size >= _LARGER * metrics.size:
        return min(4, 1 + sum(1 for size in _steps(metrics.heading_sizes) if size > line.size * 1.02))
    if line.bold and not starts_item(line.text) and not line.text.endswith((".", "：", ":")):
        return min(5, 1 + len(_steps(metrics.heading_sizes)))
    level = heading_level(line.text)
    return min(5, level - 1 + max(1, len(_steps(metrics.heading_sizes)))) if level else 0


def _steps(sizes: Sequence[float]) -> list[float]:
    """Distinct type sizes, those within 5 % of each other taken as one."""
    steps: list[float] = []
    for size in sizes:
        if not steps or size < steps[-1] * 0.95:
            steps.append(size)
    return steps
