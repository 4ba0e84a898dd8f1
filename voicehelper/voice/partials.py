"""What of a growing transcript can be relied on: LocalAgreement-2 (Liu et al. 2020; Machacek et al. 2023): the prefix
on which two hypotheses in a row agree."""

import re
from difflib import SequenceMatcher

from voicehelper.voice.phrases import CJK, plain, words

_MARKS = re.compile(r"\W+")
_LETTER = re.compile(rf"[^\W{CJK}]")


def agreed(before: str, now: str) -> str:
    """The beginning of `now` that has the letters of `before`, up to the end of a word and without trailing marks:
    recognisers set marks in one hypothesis, and not in the next."""
    one, other = _letters(before), _letters(now)
    count = next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a[1] != b[1]), min(len(one), len(other))
    )
    if count == 0:
        return ""
    prefix = now[: other[count - 1][0] + 1]
    follows = [text[place + 1 : place + 2] for text, place in ((before, one[count - 1][0]), (now, other[count - 1][0]))]
    if _LETTER.match(prefix[-1]) and any(_LETTER.match(char) for char in follows):
        prefix = re.sub(rf"[^\W{CJK}]+$", "", prefix)
    return re.sub(r"\W+$", "", prefix)


def extend(stable: str, before: str, now: str) -> tuple[str, str]:
    """The new stable prefix, and the text to show, which begins with it. What was once stable stays, even where the
    recogniser has changed its mind (the final text may differ)."""
    common = agreed(before, now)
    known = len(_MARKS.sub("", stable))
    if _MARKS.sub("", common).startswith(_MARKS.sub("", stable)):
        stable += common[_behind(common, known) :]
    if _MARKS.sub("", now).startswith(_MARKS.sub("", stable)):
        return stable, stable + now[_behind(now, len(_MARKS.sub("", stable))) :]
    return stable, stable + now[len(stable) :]


def _letters(text: str) -> list[tuple[int, str]]:
    """Places and characters of all but marks and white space."""
    return [(place, char) for place, char in enumerate(text) if not _MARKS.match(char)]


def _behind(text: str, count: int) -> int:
    """The place behind the first `count` letters of `text`."""
    return _letters(text)[count - 1][0] + 1 if count else 0


def materially_differs(prepared: str, text: str) -> bool:
    """Whether what was prepared for one question is of no use for the other: more than a particle or a mark differs."""
    a, b = plain(prepared), plain(text)
    if a == b:
        return False
    if not a or not b:
        return True
    return SequenceMatcher(None, a, b, autojunk=False).ratio() < 0.85


def repeats(text: str, said: str) -> bool:
    """Whether the text is what was said by us (our own voice through the microphone): long enough to tell, and nearly
    all of it found there in order."""
    heard, ours = plain(text), plain(said)
    if words(heard) < 5 or not ours:
        return False
    blocks = SequenceMatcher(None, ours, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size > 1) >= 0.8 * len(heard)
