"""Text to the terms of the keyword index: the same for passages and queries, pure and deterministic.

`fold` removes differences no reader cares about (width, case, traditional or simplified script). `analyse` then gives
three views of a text: words (jieba), pairs of neighbouring characters, and characters. Model numbers, order numbers and
other codes are among the words and the pairs: whole, joined and in parts, so that `VH-X200-B` is found as `vh-x200-b`,
`VHX200B`, `X200` and `vh x200`. docs/retrieval.md says what each view is worth.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import opencc
import rjieba

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA_HANGUL = "\u3040-\u30ff\uac00-\ud7af"
_RUNS = re.compile(
    rf"(?P<cjk>[{_HAN}{_KANA_HANGUL}]+)"
    rf"|(?P<code>[^\W_{_HAN}{_KANA_HANGUL}]+(?:[-_./:@'&][^\W_{_HAN}{_KANA_HANGUL}]+|[+#]{{1,2}}(?![^\W_]))*)"
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_ENGLISH_WORD = re.compile(r"(?<![A-Za-z0-9&_-])[A-Za-z]+(?![A-Za-z0-9&_-])")
_SEPARATORS = re.compile(r"[-_./:@'&]")
_LETTERS_OR_DIGITS = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
_MAX_TERM = 64
_ENGLISH_WORDS = """
a an the is are was were be been do does did can could will would should may might must have has had i you we they it he
she my your our their its this that these those there here what which who whom when where why how much many long of to
in on at by for from with about into as and or but if then than so not no please tell me us any some get got am s t one
"""
ENGLISH_FUNCTION_WORDS = frozenset(_ENGLISH_WORDS.split())
"""English words that say nothing about a subject. Among Chinese documents they are rare and would count as strong."""
_simplify = opencc.OpenCC("t2s").convert


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms in text order, repeated as often as they occur. No term holds white space."""

    words: tuple[str, ...] = ()
    bigrams: tuple[str, ...] = ()
    chars: tuple[str, ...] = ()


def fold(text: str) -> str:
    """`text` in NFKC, lower case and simplified characters; may differ in length."""
    simplified: str = _simplify(unicodedata.normalize("NFKC", _encodable(text)))
    return simplified.lower()


def analyse(text: str) -> Terms:
    """The terms of `text`. Any string is fine; one without letters or digits has no terms."""
    words: list[str] = []
    bigrams: list[str] = []
    chars: list[str] = []
    for run in _RUNS.finditer(_THOUSANDS.sub("", fold(text))):
        if run["cjk"]:
            words.extend(rjieba.cut_for_search(run["cjk"], True))
            bigrams.extend(_bigrams(run["cjk"]))
            chars.extend(run["cjk"])
        else:
            codes = list(_codes(run["code"]))
            words.extend(codes)
            bigrams.extend(codes)
    return Terms(tuple(words), tuple(bigrams), tuple(chars))


def without_function_words(query: str) -> str:
    """`query` without English function words ("US" and "IT" are names); itself where nothing else would be left."""
    kept = _ENGLISH_WORD.sub(lambda word: "" if _says_nothing(word[0]) else word[0], query)
    return kept if any(char.isalnum() for char in kept) else query


def _says_nothing(word: str) -> bool:
    return word.lower() in ENGLISH_FUNCTION_WORDS and not (len(word) > 1 and word.isupper())


def _encodable(text: str) -> str:
    """Lone surrogates (from broken JSON) cannot be UTF-8: replace them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _bigrams(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for left, right in pairwise(run):
        yield left + right


def _codes(run: str) -> Iterator[str]:
    """A code's spellings, each once: whole, without separators, its parts, and their letters and digits apart."""
    if _NUMBER.fullmatch(run):
        yield from _number(run)
        return
    parts = [part for part in _SEPARATORS.split(run) if part]
    pieces = [piece for part in parts for piece in _LETTERS_OR_DIGITS.findall(part) if len(piece) > 1]
    for term in dict.fromkeys([run, "".join(parts), *parts, *pieces]):
        yield term[:_MAX_TERM]


def _number(run: str) -> Iterator[str]:
    """`299.00` is also `299`; other decimals and versions stay whole."""
    yield run[:_MAX_TERM]
    whole = re.sub(r"(?<=\d)\.0+$", "", run)
    if whole != run:
        yield whole[:_MAX_TERM]
