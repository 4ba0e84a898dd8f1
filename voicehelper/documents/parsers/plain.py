"""Plain text: paragraphs by blank lines, hard-wrapped lines joined, numbered Chinese headings recognised."""

import re
import unicodedata

from voicehelper.documents.cleaning import clean_text
from voicehelper.documents.encoding import decode
from voicehelper.documents.failures import failure
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits
from voicehelper.documents.parsers.blocks import BlockList, join_lines

_ITEM = re.compile(
    r"\s*(?:[-*•·●■◆▪–]|[（(]?\d{1,3}(?:[、)）]|\.(?!\d))|[（(][一二三四五六七八九十]+[)）]|[A-Za-z][.)]\s|[①-⑳])"
)
_PAIR = re.compile(r"\s*(?:[QqAa]\d*[:：.]|[问答]\d*[:：]|[^\s，。]{1,12}：)")
_HEADINGS = (
    (1, re.compile(r"第[一二三四五六七八九十百零\d]{1,4}[章部篇]")),
    (2, re.compile(r"第[一二三四五六七八九十百零\d]{1,4}[节条]|[一二三四五六七八九十]{1,3}、")),
)
_ENDS = tuple("。！？；…!?;.:：”）)")
_HEADING_WIDTH = 60
_WRAP_WIDTH = 40  # columns a line has at least when an editor wrapped it
_PARAGRAPHS = re.compile(r"\n[ \t\u3000]*\n")


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Blocks of a text file in any encoding `decode` is sure of."""
    blocks = BlockList(limits.max_text_chars)
    text = re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", decode(data))
    for paragraph in _PARAGRAPHS.split(text):
        for line in _logical_lines(paragraph):
            level = heading_level(line)
            if level:
                blocks.heading(line, level)
            else:
                blocks.text(line)
    return blocks.document()


def inspect(data: bytes, _limits: ParseLimits) -> None:
    """Refuse what is no text, and text without a letter or digit. Raises reasons ENCODING, MISMATCH, EMPTY."""
    if not any(char.isalnum() for char in decode(data)):
        raise failure(FailureReason.EMPTY)


def heading_level(line: str) -> int:
    """1 or 2 for a short line numbered like a Chinese heading ("第一章", "二、"), else 0."""
    line = line.strip()
    if columns(line) > _HEADING_WIDTH or line.endswith(("。", "；", "，", ";")):
        return 0
    return next((level for level, pattern in _HEADINGS if pattern.match(line)), 0)


def starts_item(line: str) -> bool:
    """Whether a line starts a list item."""
    return bool(_ITEM.match(line))


def starts_pair(line: str) -> bool:
    """Whether a line starts like a question, an answer or a `name：value` pair; prose may begin so too."""
    return bool(_PAIR.match(line))


def columns(text: str) -> int:
    """Width on a terminal: wide characters count two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _logical_lines(paragraph: str) -> list[str]:
    """Lines as their author meant them: a full line that ends in the middle of a sentence runs on."""
    lines = [line for line in paragraph.split("\n") if clean_text(line)]
    width = max((columns(line) for line in lines), default=0)
    joined: list[str] = []
    full = False
    for line in lines:
        if joined and full and not _begins_anew(line):
            joined[-1] = join_lines(joined[-1], line)
        else:
            joined.append(line)
        full = _runs_on(line, width)
    return joined


def _begins_anew(line: str) -> bool:
    return starts_item(line) or starts_pair(line) or line.startswith(("\u3000", "    ", "\t"))


def _runs_on(line: str, width: int) -> bool:
    size = columns(line.rstrip())
    return size >= _WRAP_WIDTH and size >= 0.8 * width and not line.rstrip().endswith(_ENDS) and not heading_level(line)
