"""English endings: how -s, -ed and -ing sound after a stem (the rules of misaki's `en.py`, Apache-2.0)."""

import re
from collections.abc import Callable, Iterator

_BEFORE_FLAP = "AIOWYiuæɑəɛɪɹʊʌ"
_DOUBLED = re.compile(r"([bcdgklmnprstvxz])\1ing$|cking$")


def stems(word: str) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Stems that `word` may be made of, with what makes the stem's phonemes those of the word."""
    if word.endswith("s") and len(word) > 2:
        yield from ((stem, add_s) for stem in _stems_s(word))
    if word.endswith("d") and len(word) > 3:
        yield from ((stem, add_ed) for stem in _stems_ed(word))
    if word.endswith("ing") and len(word) > 4:
        yield from ((stem, add_ing) for stem in _stems_ing(word))


def _stems_s(word: str) -> Iterator[str]:
    if not word.endswith("ss"):
        yield word[:-1].removesuffix("'")
    if len(word) > 4 and word.endswith("es") and not word.endswith("ies"):
        yield word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        yield word[:-3] + "y"


def _stems_ed(word: str) -> Iterator[str]:
    if not word.endswith("dd"):
        yield word[:-1]
    if len(word) > 4 and word.endswith("ed") and not word.endswith("eed"):
        yield word[:-2]
        if word[-4] == word[-3]:
            yield word[:-3]


def _stems_ing(word: str) -> Iterator[str]:
    if len(word) > 5:
        yield word[:-3]
    yield word[:-3] + "e"
    if len(word) > 5 and _DOUBLED.search(word):
        yield word[:-4]


def add_s(stem: str) -> str:
    """cats, dogs, boxes."""
    if stem[-1] in "ptkfθ":
        return stem + "s"
    return stem + ("ᵻz" if stem[-1] in "szʃʒʧʤ" else "z")


def add_ed(stem: str) -> str:
    """asked, called, waited."""
    if stem[-1] in "pkfθʃsʧ":
        return stem + "t"
    if stem[-1] == "d":
        return stem + "ᵻd"
    if stem[-1] != "t":
        return stem + "d"
    return stem[:-1] + "ɾᵻd" if stem[-2:-1] and stem[-2] in _BEFORE_FLAP else stem + "ᵻd"


def add_ing(stem: str) -> str:
    """calling, waiting."""
    if stem[-1] == "t" and stem[-2:-1] and stem[-2] in _BEFORE_FLAP:
        return stem[:-1] + "ɾɪŋ"
    return stem + "ɪŋ"
