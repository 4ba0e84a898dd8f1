"""What of a growing transcript can be relied on: LocalAgreement-2 (Liu et al. 2020; Machacek et al. 2023): the prefix
on which two hypotheses in a row agree."""

import re
from difflib import SequenceMatcher

from voicehelper.voice.phrases import CJK, plain, words

_TAIL = re.compile(rf"[\s\W]+$|(?<![^\s{CJK}])[^\W{CJK}]+$")


def agreed(before: str, now: str) -> str:
    """The common beginning, up to the end of a word and without trailing marks (recognisers change those)."""
    length = next((n for n, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
    inside = 0 < length < max(len(before), len(now)) and _in_word(before, now, length)
    prefix = now[:length]
    if inside:
        prefix = re.sub(rf"[^\W{CJK}]+$", "", prefix)
    return re.sub(r"\W+$", "", prefix)


def _in_word(before: str, now: str, at: int) -> bool:
    follows = {text[at] for text in (before, now) if at < len(text)}
    return any(re.fullmatch(rf"[^\W{CJK}]", char) for char in {now[at - 1]}) and any(
        re.fullmatch(rf"[^\W{CJK}]", char) for char in follows
    )


def extend(stable: str, before: str, now: str) -> tuple[str, str]:
    """The new stable prefix, and the text to show, which begins with it. What was once stable stays, even where the
    recogniser has changed its mind (the final text may differ)."""
    common = agreed(before, now)
    if common.startswith(stable):
        stable = common
    return stable, now if now.startswith(stable) else stable + now[len(stable) :]


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
