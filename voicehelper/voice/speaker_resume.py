"""Where an answer that was partly said is gone on with, when its text comes once more. Pure."""

import re
from difflib import SequenceMatcher

_SENTENCE = re.compile(r".*?(?:[。！？!?…\n]+[”’」』）)\"']*|\.(?=\s)|$)", re.DOTALL)
_ENDS = "。！？!?\n"
_SAME = 0.6
_NOISE = re.compile(r"[\W_]+")


def where_to_go_on(said: str, text: str, ended: bool) -> int | None:
    """The first character of `text` that is not to be left out, given that `said` was said; None where more text is
    needed to tell.

    The same text goes on where it was. One that was written anew goes on with its first sentence, from where it leaves
    the old one, that says something else than any sentence of the old one.
    """
    common = _common(said, text)
    if common == len(said):
        return common
    if common == len(text):
        return common if ended else None
    known = _sentences(said)
    place = _beginning(text, common)
    while place < len(text):
        sentence = _SENTENCE.match(text, place)
        end = sentence.end() if sentence else len(text)
        if end >= len(text) and not ended and text[-1] not in _ENDS:
            return None
        if not _is_known(text[place:end], known):
            return place
        place = end
    return place if ended else None


def _common(one: str, other: str) -> int:
    most = min(len(one), len(other))
    return next((place for place in range(most) if one[place] != other[place]), most)


def _beginning(text: str, place: int) -> int:
    """The start of the sentence that holds character `place`."""
    start = 0
    for sentence in _SENTENCE.finditer(text):
        if sentence.end() > place:
            break
        start = sentence.end()
    return start


def _sentences(text: str) -> list[str]:
    parts = (_plain(found.group()) for found in _SENTENCE.finditer(text))
    return [part for part in parts if part]


def _is_known(sentence: str, known: list[str]) -> bool:
    plain = _plain(sentence)
    return not plain or any(SequenceMatcher(None, plain, other, autojunk=False).ratio() >= _SAME for other in known)


def _plain(text: str) -> str:
    return _NOISE.sub("", text).lower()
