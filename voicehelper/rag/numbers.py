"""Numbers in text, comparable across scripts: `１５`, `15`, `15.0`, `十五` and `fifteen` are the same.

Two readings: `stated` takes what certainly is a number (it is used on answers, each of which must be in a source), and
`mentioned` takes whatever might be one (it is used on sources).
"""

import re
from decimal import Decimal
from functools import lru_cache

from voicehelper.retrieval.analysis import fold

_ARABIC = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_CHINESE = re.compile(r"[零〇一二两俩三四五六七八九十百千万亿]+(?:点[零〇一二三四五六七八九]+)?")
_MEASURE = re.compile(
    r"\s*(?:个?(?:工作日|自然日|小时|月|星期|礼拜)|天|日|周|年|分钟|秒|点|元|块|角|折|倍|次|件|台|米|公里|公斤|千克|克|岁|成)"
)
_ENGLISH = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
_WORDS = {word: value for value, word in enumerate(_ENGLISH.split(), start=1)} | {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "ninety": 90,
    "hundred": 100,
}
_WORD = re.compile(r"[a-z]+")


def stated(text: str) -> frozenset[str]:
    """Numbers written in digits, and Chinese numerals before a unit of measure (`七天`, but not `一般`)."""
    folded = fold(text)
    chinese = (match[0] for match in _CHINESE.finditer(folded) if _MEASURE.match(folded, match.end()))
    return frozenset(_arabic(folded)) | {_chinese_value(numeral) for numeral in chinese}


@lru_cache(maxsize=4096)
def mentioned(text: str) -> frozenset[str]:
    """Every possible number: digits, all Chinese numerals, small English number words."""
    folded = fold(text)
    found = set(_arabic(folded))
    for match in _CHINESE.finditer(folded):
        found.add(_chinese_value(match[0]))
        found.update(str(_DIGITS[char]) for char in match[0] if char in _DIGITS)  # "统一七日" is not 17
    found.update(str(_WORDS[word]) for word in _WORD.findall(folded) if word in _WORDS)
    return frozenset(found)


def _arabic(folded: str) -> set[str]:
    found = set()
    for number in _ARABIC.findall(folded):
        found.add(_canonical(number.replace(",", "")))
        if "," in number:  # "1,200" is one number, "100,200,300" may be a list
            found.update(_canonical(part) for part in number.split(","))
    return found


def _canonical(digits: str) -> str:
    text = format(Decimal(digits), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _chinese_value(numeral: str) -> str:
    whole, _, fraction = numeral.partition("点")
    value = str(_positional(whole)) if not any(char in _UNITS for char in whole) else str(_by_units(whole))
    return _canonical(f"{value}.{''.join(str(_DIGITS[char]) for char in fraction)}") if fraction else value


def _positional(numeral: str) -> int:
    return int("".join(str(_DIGITS[char]) for char in numeral) or 0)


def _by_units(numeral: str) -> int:
    total = section = digit = 0
    for char in numeral:
        if char in _DIGITS:
            digit = _DIGITS[char]
        elif _UNITS[char] < 10_000:
            section += (digit or 1) * _UNITS[char]
            digit = 0
        else:
            total = (total + section + digit or 1) * _UNITS[char]
            section = digit = 0
    return total + section + digit
