"""Collecting cleaned blocks while a parser walks its source."""

import re

from voicehelper.documents.cleaning import clean_code, clean_line, clean_text
from voicehelper.documents.failures import failure
from voicehelper.documents.model import Block, FailureReason, ParsedDocument

_CJK = re.compile(
    r"[\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\u2014\u2018-\u201d\u2026]"
)


class BlockList:
    """Blocks in reading order; cleans each text and refuses a document that grows beyond `max_chars`."""

    def __init__(self, max_chars: int) -> None:
        self.blocks: list[Block] = []
        self._left = max_chars

    def heading(self, text: str, level: int, page: int | None = None) -> None:
        """A heading of `level` 1-6; nothing when it is empty."""
        self._add(clean_line(text), min(6, max(1, level)), page)

    def text(self, text: str, page: int | None = None) -> None:
        """Body text; its line breaks are kept."""
        self._add(clean_text(text), 0, page)

    def code(self, text: str) -> None:
        """Body text whose indentation matters."""
        self._add(clean_code(text), 0, None)

    def document(self, title: str = "", page_count: int | None = None) -> ParsedDocument:
        """What was collected; the first top heading is the title where the source names none."""
        title = clean_line(title) or next((block.text for block in self.blocks if block.level == 1), "")
        return ParsedDocument(tuple(self.blocks), title, page_count)

    def _add(self, text: str, level: int, page: int | None) -> None:
        if not text.strip():
            return
        self._left -= len(text) + 1
        if self._left < 0:
            raise failure(FailureReason.TOO_LARGE)
        self.blocks.append(Block(text, level, page))


def join_lines(left: str, right: str) -> str:
    """Join two lines of one paragraph: Chinese without a space, a hyphenated English word whole, else with a space."""
    left, right = left.rstrip(), right.lstrip()
    if not left or not right:
        return left + right
    if left[-1] in "-\u00ad\u2010" and left[-2:-1].isalpha() and right[0].islower():
        return left[:-1] + right
    if _CJK.match(left[-1]) or _CJK.match(right[0]):
        return left + right
    return f"{left} {right}"


def unwrap(text: str) -> str:
    """Make the soft line breaks within a paragraph of a source format disappear."""
    lines = text.split("\n")
    joined = lines[0]
    for line in lines[1:]:
        joined = join_lines(joined, line) if line.strip() else joined
    return joined
