"""What a few words are in a talk: back-channels, requests to stop or to wait, phrases that are not finished. Chinese
and English, by lists: at the end of a pause there is no time to ask a model, and a list can be read and corrected."""

import re
import unicodedata
from typing import Literal

from voicehelper.voice.phrase_lists import (
    AFFIRMATIONS,
    COMPLETE_END,
    CORRECTIONS,
    FILLERS,
    GO_ON,
    HUMS,
    INVENTED,
    MAY_END_QUESTION,
    NUDGES,
    QUESTION_START,
    STOP,
    UNFINISHED_END,
    UNFINISHED_WHOLE,
    WAIT,
)

Kind = Literal["empty", "invented", "stop", "go_on", "wait", "hum", "affirmation", "filler", "unfinished", "dictating",
               "complete", "open"]  # fmt: skip
"""`hum` and `affirmation` are back-channels, unless a question was asked. `invented`: what recognisers make of noise.
`dictating`: digits, of which more may come. `open`: nothing tells whether it is finished."""

CJK = "\u3400-\u9fff"
_BRACKETED = re.compile(r"[\[(（【<♪][^\])）】>♪]*[\])）】>♪]")
_MARKS = re.compile(rf"[^\w{CJK}]+|_")
_BETWEEN_CJK = re.compile(rf"(?<=[{CJK}]) (?=[{CJK}])")
_DIGITS = re.compile(r"(?:[0-9](?: ?[0-9]){2,}|[零〇一二三四五六七八九幺]{3,})$")


def plain(text: str) -> str:
    """Lower case, without marks and what stands in brackets; one space between words of other than Chinese."""
    text = _BRACKETED.sub(" ", unicodedata.normalize("NFKC", text)).lower()
    text = re.sub("['\u2019]", "", text)
    return _BETWEEN_CJK.sub("", _MARKS.sub(" ", text).strip())


def words(text: str) -> int:
    """Length of plain text: Chinese characters and other words."""
    return len(re.findall(rf"[{CJK}]|[^\s{CJK}]+", text))


class Phrases:
    """Matches texts that consist of nothing but these phrases, in linear time (a regular expression backtracks)."""

    def __init__(self, *lists: tuple[str, ...]) -> None:
        self._known = frozenset(phrase for phrases in lists for phrase in phrases)
        self._longest = max(map(len, self._known))

    def fullmatch(self, said: str) -> bool:
        """Whether the plain text is one or more of them."""
        reached = [False] * (len(said) + 1)
        reached[0] = True
        for start in range(len(said)):
            for end in range(start + 1, min(len(said), start + self._longest) + 1) if reached[start] else ():
                if said[start:end] in self._known and _parted(said, end):
                    reached[end + 1 if said[end : end + 1] == " " else end] = True
        return bool(said) and reached[-1]


def _parted(said: str, at: int) -> bool:
    return at == len(said) or said[at] == " " or said[at] >= "\u3400" or said[at - 1] >= "\u3400"


def _at_end(phrases: tuple[str, ...]) -> re.Pattern[str]:
    chinese = "|".join(re.escape(p) for p in phrases if re.match(f"[{CJK}]", p))
    other = "|".join(re.escape(p) for p in phrases if not re.match(f"[{CJK}]", p))
    return re.compile(rf"(?:{chinese}|\b(?:{other}))$")


_HUMS, _FILLERS = Phrases(HUMS), Phrases(FILLERS, HUMS)
_AFFIRMATIONS = Phrases(AFFIRMATIONS, HUMS)
_NUDGES = Phrases(NUDGES, HUMS)
_STOP, _GO_ON = Phrases(STOP), Phrases(GO_ON)
_WAIT_ALONE = Phrases(WAIT, FILLERS, HUMS, AFFIRMATIONS, ("请", "你", "那", "那你", "please", "吧"))
_WAIT_AT_ALL = re.compile("|".join(map(re.escape, WAIT)))
_WAIT_END, _UNFINISHED_END, _COMPLETE_END = _at_end(WAIT), _at_end(UNFINISHED_END), _at_end(COMPLETE_END)
_INVENTED = frozenset(phrase.replace(" ", "") for phrase in INVENTED)
_QUESTION = re.compile(rf"(?:{'|'.join(QUESTION_START)})\b")
_CORRECTION = re.compile(rf"(?:{'|'.join(map(re.escape, CORRECTIONS))})(?: |$|(?=[{CJK}])|(?<=[{CJK}]))")


def kind(text: str) -> Kind:
    """What the text, as recognised, is."""
    said = plain(text)
    if not said:
        return "empty"
    if said.replace(" ", "") in _INVENTED:
        return "invented"
    if _STOP.fullmatch(said):
        return "stop"
    if _GO_ON.fullmatch(said):
        return "go_on"
    if wait_split(text) is not None:
        return "wait"
    return _short(text, said) or _ending(text, said)


def _short(text: str, said: str) -> Kind | None:
    asked = text.rstrip().endswith(("?", "？"))
    if _HUMS.fullmatch(said):
        return "complete" if asked else "hum"
    if _FILLERS.fullmatch(said) or said in UNFINISHED_WHOLE:
        return "filler"
    return "affirmation" if _AFFIRMATIONS.fullmatch(said) and not asked else None


def _ending(text: str, said: str) -> Kind:
    end = text.rstrip()
    if _DIGITS.search(said):
        return "dictating"
    if end.endswith(("...", "…", "，", ",", "、", "—", "-", "：", ":")):
        return "unfinished"
    unfinished = _UNFINISHED_END.search(said)
    if unfinished and not (_QUESTION.match(said) and unfinished.group() in MAY_END_QUESTION):
        return "unfinished"
    if _COMPLETE_END.search(said) or end.endswith(("?", "？", "!", "！")):
        return "complete"
    return "open"


def _only_wait(said: str) -> bool:
    return bool(_WAIT_AT_ALL.search(said)) and _WAIT_ALONE.fullmatch(said)


def wait_split(text: str) -> str | None:
    """What was said before "wait a moment", where the text ends with that; None where it does not."""
    said = plain(text)
    if _only_wait(said):
        return ""
    pieces = [piece for piece in re.split(r"[，,。.；;！!…—]+|\.\.\.", text) if plain(piece)]
    if len(pieces) > 1 and _only_wait(plain(pieces[-1])):
        return text[: text.rindex(pieces[-1])].strip(" ，,。.；;！!…—")
    found = _WAIT_END.search(said)
    if found and _UNFINISHED_END.search(said[: found.start()].strip()):
        return said[: found.start()].strip()
    return None


def corrects(text: str) -> bool:
    """Whether it begins like a correction of what was said before."""
    return bool(_CORRECTION.match(plain(text)))


def nudges(text: str) -> bool:
    """Whether it only asks whether anybody is there."""
    return _NUDGES.fullmatch(plain(text))


def join(first: str, then: str) -> str:
    """Two texts of one turn as one."""
    then = then.strip()
    if not first or not then:
        return first or then
    if first.endswith(("?", "？", "!", "！")):
        return first + then if re.search(f"[{CJK}]", first + then) else f"{first} {then}"
    head = first.rstrip(" 。.，,…")
    chinese = re.match(f"[{CJK}]", then) or re.search(f"[{CJK}]$", head)
    if head == first and kind(first) in ("unfinished", "filler", "dictating"):
        return f"{head}{then}" if chinese else f"{head} {then}"
    return f"{head}，{then}" if chinese else f"{head}, {then}"
