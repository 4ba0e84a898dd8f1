"""What stands between the model's stream and the reader. Both guards hold text back only as long as they must."""

import re
from collections.abc import Set as AbstractSet

from voicehelper.rag.numbers import stated

# How a model that was told to admit ignorance begins, and what it says when it does.
_OPENERS = re.compile(
    r"不知道|抱歉|对不起|很遗憾|不好意思|根据|依据|按照|从|资料|目前|文中|文档|上述|以上|提供的|没有|未|无法|我不|这个问题|关于"
    r"|i |i'|sorry|unfortunately|the |there |based|no |not |unknown|according"
)
# "According to the documents," is not how customer service speaks: an answer from documents needs no such beginning.
_PREAMBLE = re.compile(
    r"\s*(?:(?:根据|依据|按照|从)(?:您|你|我们)?所?(?:提供|给出)?的?(?:以上|上述|现有|相关|这些)?的?(?:资料|信息|内容|文档)"
    r"(?:中的?|里的?|内容|信息|来看|显示|可知|所述|说明)*"
    r"|(?:according to|based on) (?:the |your |our )?(?:provided |given |above |available )?"
    r"(?:documents?|documentation|information|materials?|text|context|data)(?: provided| given| above)?)"
    r"[，,：:]\s*(?=\S)",
    re.IGNORECASE,
)
_IGNORANCE = re.compile(
    r"不知道|不清楚|不确定|没有(?:直接|明确|具体)?(?:提到|提及|说明|找到|包含|涉及|给出|提供|关于|相关)"
    r"|(?:并?未|没有?)(?:直接|明确|具体)?(?:提到|提及|说明|找到|包含|涉及|给出|提供)"
    r"|无法(?:回答|确定|得知|判断|提供|给出|确认)|没有(?:这方面的?|足够的?|对应的?|相应的?)(?:信息|资料|内容)"
    r"|don'?t know|do not know|not sure|no information|can(?:not|'?t) (?:answer|determine|find|say)"
    r"|(?:does|do|is|are|did)(?:n'?t| not) (?:mention|specif|provid|contain|includ|stat|say|cover|list|available)"
    r"|not (?:mentioned|specified|provided|stated|available|found)"
)
_SENTENCE_END = re.compile(r"[。！？!?\n]|\.\s|\.$")
_HOLD_CHARS = 120
_SHORTEST, _LONGEST_OPENER = 4, 12
_LAST_PIECES = 3
_OPEN_NUMBER = re.compile(r"[0-9０-９][0-9０-９,，.．]*$|[零〇一二两三四五六七八九十百千万]+$")
_LIST_MARK = re.compile(r"(?m)^\s*\d{1,2}[.、)）．](?!\d)")


class RefusalGate:
    """Recognises a model that says it does not know, before the reader sees it.

    A first sentence that begins like a refusal is held back until it ends; any other text passes at once. A
    beginning like "根据资料，" is taken off.
    """

    def __init__(self) -> None:
        self.refused = False
        self._held = ""
        self._open = False

    def feed(self, text: str) -> str:
        """What may be shown after `text` came."""
        if self._open or self.refused:
            return "" if self.refused else text
        self._held = _without_preamble(self._held + text)
        if not self._undecided():
            return self._release()
        return ""

    def finish(self) -> str:
        """What may be shown at the end of the stream."""
        return "" if self._open or self.refused else self._release()

    def _undecided(self) -> bool:
        start = self._held.lstrip().lower()
        if _SENTENCE_END.search(start):
            return False
        if len(start) < _SHORTEST or (start.isascii() and len(start) < _LONGEST_OPENER and " " not in start):
            return True
        return bool(_OPENERS.match(start)) and len(start) < _HOLD_CHARS

    def _release(self) -> str:
        start = self._held.lstrip().lower()
        end = _SENTENCE_END.search(start)
        if _IGNORANCE.search(start[: end.end() if end else None]):
            self.refused = True
            return ""
        self._open = True
        return self._held


def _without_preamble(text: str) -> str:
    preamble = _PREAMBLE.match(text)
    if preamble is None:
        return text
    rest = text[preamble.end() :]
    return rest[:1].upper() + rest[1:]


class NumberGuard:
    """Stops a stream before a number that no source mentions reaches the reader.

    Args:
        known: canonical numbers of the sources and the question (see `numbers.mentioned`).
    """

    def __init__(self, known: AbstractSet[str]) -> None:
        self.invented: frozenset[str] = frozenset()
        self._known = known
        self._text = ""
        self._shown = 0

    def feed(self, text: str) -> str:
        """What may be shown after `text` came; an unfinished number waits for its end."""
        self._text += text
        held = _OPEN_NUMBER.search(self._text)
        return self._show(held.start() if held else len(self._text))

    def finish(self) -> str:
        """What may be shown at the end of the stream."""
        return self._show(len(self._text))

    def _show(self, upto: int) -> str:
        if self.invented or upto <= self._shown:
            return ""
        line = self._text.rfind("\n", 0, self._shown) + 1
        invented = stated(_LIST_MARK.sub("", self._text[line:upto])) - self._known
        if invented:
            self.invented = invented
            return ""
        shown, self._shown = self._text[self._shown : upto], upto
        return shown


class Guards:
    """Both guards in a row, and when the model need not go on."""

    def __init__(self, known_numbers: AbstractSet[str]) -> None:
        self._gate = RefusalGate()
        self._numbers = NumberGuard(known_numbers)
        self._after_refusal = 0

    @property
    def refused(self) -> bool:
        """The model says it does not know."""
        return self._gate.refused

    @property
    def invented(self) -> frozenset[str]:
        """Numbers it was stopped before."""
        return self._numbers.invented

    @property
    def over(self) -> bool:
        """Nothing more can reach the reader. A refusing model gets a few pieces to end by itself and report usage."""
        return bool(self.invented) or self._after_refusal > _LAST_PIECES

    def feed(self, text: str) -> str:
        """What may be shown after `text` came."""
        self._after_refusal += self.refused
        return self._numbers.feed(self._gate.feed(text))

    def finish(self) -> str:
        """What may be shown at the end of the stream."""
        return self._numbers.feed(self._gate.finish()) + self._numbers.finish()
