"""Marks at which a text may be cut for speaking, and stretches within which it may not."""

import re
from enum import IntEnum


class Strength(IntEnum):
    """How well a cut sounds. PHRASE: before a word that begins a phrase, or after a weak mark."""

    NONE = 0
    PHRASE = 1
    CLAUSE = 2
    SENTENCE = 3
    LINE = 4


_SENTENCE = "。！？；…!?;"
_CLAUSE = "，：—,:"
_CLOSERS = "”’」』）)】]》〉\"'*"
_ABBREVIATION = re.compile(
    r"(?<![A-Za-z])(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|e\.g|i\.e|etc|no|fig|vol|approx|dept|inc|ltd|co|corp|jan|feb|mar|apr|jun"
    r"|jul|aug|sept?|oct|nov|dec|u\.s|u\.k|ph\.d|(?-i:[A-Z]))$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|[A-Za-z])$")
# Words that begin a phrase: a short break before them sounds natural.
_ZH_CUE = re.compile(
    "但是|不过|然后|因为|所以|如果|并且|而且|或者|以及|可以|需要|请您|请在|您可以|建议|应当|必须|通过|按照|根据"
    "|我们会|将在|会在|即可|只要|才能|就可以"
)
_EN_CUE = re.compile(
    r"(?:and|but|or|so|because|which|that|if|when|while|where|with|without|for|to|in|on|at|from|by|after|before|until"
    r"|unless|as|you|we|please)\s",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_SPANS = re.compile(
    r"(?:https?://|www\.)[^\s，。；、！？：（）()【】「」“”<>\"]*[^\s，。；、！？：（）()【】「」“”<>\".,;:!?]"  # links
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)*"  # e-mail
    r"|`[^`\n]+`"
    r"|!?\[[^\]\n]*\]\([^)\n]*\)"  # Markdown links
    r"|[vV]?\d+(?:[.,:：/~\-–—]\d+)+"  # 3.5, 1,000, 10:30, 2024-05-01, 3-5
    r"|\d+\s?(?:%|％|‰|℃|°[CF]?|元|块|角|分|天|日|月|年|小时|分钟|秒|个|位|件|次|人|kg|km|cm|mm|GB|MB|KB|ml|g|m)"
    r"|(?:[A-Za-z]\.){2,}"
    r"|[￥¥$€£]\s?\d[\d,.]*"
    r"|\d{4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月\d{1,2}[日号]"
)
_PAIRS = {"“": "”", "‘": "’", "「": "」", "『": "』", "《": "》", "（": "）", "(": ")", "【": "】", "[": "]"}
_LONGEST_PAIR = 40  # a longer quotation is cut within
_OPEN_TAIL = re.compile(r"(?:(?:https?://|www\.)\S*|[\w.+-]+@\S*|!?\[[^\]\n]*(?:\](?:\([^)\n]*)?)?)$")
_TAIL_CHARS = 200


def protected(text: str, start: int, ended: bool) -> list[tuple[int, int]]:
    """Stretches of `text` from `start` on within which no clause ends."""
    spans = [found.span() for found in _SPANS.finditer(text, start)]
    spans += _pairs(text, start, ended)
    if not ended and (tail := _OPEN_TAIL.search(text, max(start, len(text) - _TAIL_CHARS))):
        spans.append((tail.start(), len(text) + 1))
    if not ended and (code := _open_code(text, start)) is not None:
        spans.append((code, len(text) + 1))
    return spans


def _open_code(text: str, start: int) -> int | None:
    """Where a piece of code begins that is not closed yet, if it is not long."""
    line = max(start, text.rfind("\n", start) + 1)
    if text.count("`", line) % 2 == 0:
        return None
    begin = text.rfind("`")
    return begin if len(text) - begin < _LONGEST_PAIR else None


def _pairs(text: str, start: int, ended: bool) -> list[tuple[int, int]]:
    """Quotations and brackets that are not long. One that is still open may yet be closed."""
    spans, place = [], start
    while place < len(text):
        close = _PAIRS.get(text[place])
        if close is not None:
            end = text.find(close, place + 1, place + _LONGEST_PAIR)
            if end >= 0:
                spans.append((place, end + 1))
                place = end
            elif not ended and len(text) - place < _LONGEST_PAIR:
                spans.append((place, len(text) + 1))
                break
        place += 1
    return spans


def strength_at(text: str, end: int, ended: bool) -> Strength | None:
    """How well a cut after character `end - 1` sounds; None where only the characters after it can tell."""
    last = text[end - 1]
    following = text[end : end + 1]
    if last == "\n":
        return Strength.LINE
    if following and (following in _CLOSERS or (following in _SENTENCE and last in _SENTENCE)):
        return Strength.NONE
    if last in _CLOSERS:
        return _after_closer(text, end, ended)
    return _after_mark(text, end, last, following, ended)


def _after_closer(text: str, end: int, ended: bool) -> Strength | None:
    """A closing mark takes the strength of what it closes; its own is a phrase's."""
    before = end - 1
    while before > 0 and text[before - 1] in _CLOSERS:
        before -= 1
    mark = text[before - 1 : before]
    if mark and mark in "。！？…!?":
        return Strength.SENTENCE
    if mark == "." and (end < len(text) or ended):
        return Strength.SENTENCE if text[end : end + 1].isspace() or end >= len(text) else Strength.NONE
    return Strength.NONE


def _after_mark(text: str, end: int, last: str, following: str, ended: bool) -> Strength | None:
    if last in "。！？；…，：":
        return Strength.SENTENCE if last in _SENTENCE else Strength.CLAUSE
    if last in ".,:!?;—":
        if not following:
            return _ascii_mark(text, end, last) if ended else None
        apart = following.isspace() or bool(_HAN.match(following))
        return _ascii_mark(text, end, last) if apart else Strength.NONE
    return Strength.PHRASE if last == "、" or _begins_phrase(text, end, last) else Strength.NONE


def _ascii_mark(text: str, end: int, last: str) -> Strength:
    if last != ".":
        return Strength.SENTENCE if last in _SENTENCE else Strength.CLAUSE
    before, after = text[max(0, end - 12) : end - 1], text[end : end + 2].lstrip()
    if after and after[0].islower() and after[0].isascii():
        return Strength.NONE  # "a.m. tomorrow"
    if _ITEM.search(before) or _ABBREVIATION.search(before):
        return Strength.NONE
    return Strength.SENTENCE


def _begins_phrase(text: str, end: int, last: str) -> bool:
    """Whether the word after `end` begins a phrase."""
    if last == " ":
        return bool(_EN_CUE.match(text, end))
    return bool(_HAN.match(last) and _ZH_CUE.match(text, end))
