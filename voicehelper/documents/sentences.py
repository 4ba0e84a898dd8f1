"""Sentence boundaries of mixed Chinese and English text, as character offsets.

Merging two sentences is the milder mistake: a boundary is set only where the text is clear about it.
"""

import re

_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_STOPS = re.compile(r"[。！？；…｡．!?.]+")
_STRONG = frozenset("。！？；…｡．")
_CLOSER = re.compile(r"[”’）)】\]》〉」』〗〕｣]|\s?\[\^?\d{1,3}\]|\*\*|[\"'*`]")
_PAIRED = ('"', "'", "**", "*", "`")
_CJK = re.compile(
    r"[\u2e80-\u2fff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_CONTINUES = frozenset("，、,:：;)）")
_TOKEN = re.compile(r"[A-Za-z0-9.]{1,24}$")
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]$")
_ITEM = re.compile(r"(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,4})$")
_ABBREVIATIONS = re.compile(
    r"(mr|mrs|ms|dr|prof|st|jr|sr|vs|eg|ie|cf|fig|eq|vol|ed|pp|approx|dept|est|inc|ltd|co|corp|rev|gen|capt|sen|gov|tel"
    r"|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|e\.g|i\.e|u\.s|u\.k|ph\.d)$",
    re.IGNORECASE,
)
_LOOK_BACK = 240  # characters searched for an opening quote: keeps the scan linear on hostile text


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Offsets `(start, end)` of the sentences of `text`, in order.

    The spans do not overlap, neither start nor end with white space, and leave out nothing but white space. A line
    break always ends a sentence; closing quotes, brackets and `[1]` markers stay with the sentence they close.
    """
    spans: list[tuple[int, int]] = []
    for line in _LINE.finditer(text):
        spans += _split_line(text, line.start(), line.end())
    return spans


def _split_line(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    begin = stop = start
    for stops in _STOPS.finditer(text, start, end):
        if stops.start() < stop:  # among the closers of the marks before
            continue
        stop = _skip_closers(text, begin, stops.end(), end)
        if stop < end and _is_boundary(text, begin, stops, stop, end):
            pieces.append((begin, stop))
            begin = stop
    pieces.append((begin, end))
    return _join_bare_marks(text, [span for piece in pieces if (span := _trim(text, *piece))])


def _skip_closers(text: str, begin: int, position: int, end: int) -> int:
    while position < end and (closer := _CLOSER.match(text, position, end)):
        mark = closer.group()
        if mark in _PAIRED and text.count(mark, max(begin, position - _LOOK_BACK), position) % 2 == 0:
            break  # it opens the next sentence
        position = closer.end()
        if more := _STOPS.match(text, position, end):
            position = more.end()
    return position


def _is_boundary(text: str, begin: int, stops: re.Match[str], stop: int, end: int) -> bool:
    """Whether the marks `stops` end the sentence that began at `begin`; `stop` is where the next one would start."""
    following = text[stop]
    if following in _CONTINUES:
        return False
    marks = stops.group()
    if "．" in marks and marks.strip("．") == "":
        return not (text[max(begin, stops.start() - 1)].isdigit() and following.isdigit())
    if not _STRONG.isdisjoint(marks):
        return True
    if not following.isspace():
        before = text[stops.start() - 1] if stops.start() > begin else ""
        return bool(_CJK.match(following)) and (marks != "." or bool(_CJK.match(before)))
    return not marks.startswith(".") or _full_stop(text, begin, stops, stop, end)


def _full_stop(text: str, begin: int, stops: re.Match[str], stop: int, end: int) -> bool:
    """Whether an ASCII full stop (or dots) followed by a space ends a sentence."""
    after = text[stop : min(end, stop + 40)].lstrip()[:1]
    if after.islower():
        return False
    found = _TOKEN.search(text, max(begin, stops.start() - 24), stops.start())
    if len(stops.group()) > 1 or found is None:
        return True
    token = found.group().strip(".")
    if token.lower() == "no":
        return not after.isdigit()
    item = _ITEM.match(token) and not text[begin : found.start()].strip()  # "1. Open the lid"
    initial = len(token) == 1 and token.isupper()
    dotted = _DOTTED.match(token) and token.lower() not in {"a.m", "p.m"}
    return not (item or initial or dotted or _ABBREVIATIONS.match(token))


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _join_bare_marks(text: str, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give pieces without a letter or digit to the sentence before them, or to the one after if there is none."""
    joined: list[tuple[int, int]] = []
    bare_start: int | None = None
    for start, end in pieces:
        if any(char.isalnum() for char in text[start:end]):
            joined.append((start if bare_start is None else bare_start, end))
            bare_start = None
        elif joined:
            joined[-1] = (joined[-1][0], end)
        elif bare_start is None:
            bare_start = start
    if bare_start is not None:
        joined.append((bare_start, pieces[-1][1]))
    return joined
