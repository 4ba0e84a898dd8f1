"""A word while the answer is waited for, suited to what was asked.

What stands in this file and in `rag.language` is ours, not a tenant's: its sound is kept once for all of them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from voicehelper.rag.language import PHRASES
from voicehelper.voice.clauses import ClauseSplitter
from voicehelper.voice.ear_text import EarText

_INTENTS = (
    (
        "problem",
        re.compile(
            r"投诉|坏了|破损|损坏|退款|没收到|没有收到|丢了|故障|不满意|太差|错了|出错|失败|打不开|用不了|骗"
            r"|\b(?:complain|broken|damaged|refund|never (?:came|arrived)|wrong|fail|error|terrible|lost)",
            re.IGNORECASE,
        ),
    ),
    (
        "order",
        re.compile(r"订单|物流|快递|发货|到货|配送|包裹|\b(?:order|shipping|deliver|track|parcel|package)", re.I),
    ),
    ("price", re.compile(r"多少钱|价格|费用|收费|优惠|折扣|\b(?:price|cost|fee|how much|discount)", re.I)),
    ("how", re.compile(r"怎么|怎样|如何|步骤|流程|\bhow\b", re.I)),
)
_FIRST = {
    "zh": {
        "problem": ("抱歉给您添麻烦了，我看一下。", "很抱歉，我马上帮您看。", "实在抱歉，我这就查。"),
        "order": ("好的，我帮您查一下。", "我来看看您的订单。", "稍等，我查一下。"),
        "price": ("好的，我看一下价格。", "我查一下费用。", "稍等，我看看。"),
        "how": ("好的，我看看怎么操作。", "我来查一下步骤。", "稍等，我看一下。"),
        "": ("好的，我查一下。", "嗯，我看看。", "请稍等。"),
    },
    "en": {
        "problem": (
            "I'm sorry about that, let me see.",
            "Sorry for the trouble, let me look.",
            "I'm sorry, one moment.",
        ),
        "order": ("Let me look that up.", "I'll check the order.", "One moment, checking."),
        "price": ("Let me check the price.", "I'll look up the cost.", "One moment."),
        "how": ("Let me see how that works.", "I'll look up the steps.", "One moment."),
        "": ("Let me check.", "Let me see.", "One moment."),
    },
}
_MORE = {
    "zh": ("还在查，请稍等。", "马上就好。", "再等我一下。"),
    "en": ("Still looking, one moment.", "Almost there.", "Just a moment more."),
}


def intent_of(question: str) -> str:
    """`problem`, `order`, `price`, `how`, or empty."""
    return next((name for name, words in _INTENTS if words.search(question)), "")


class Acknowledgements:
    """Chooses; of the phrases that fit always the one said longest ago."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], int] = defaultdict(int)

    def __call__(self, question: str, language: str, count: int) -> tuple[str, str]:
        """The phrase and its language, for the `count`th time (from 1) within one wait. `language` may be empty."""
        known = language if language in _FIRST else "zh"
        fitting = _FIRST[known][intent_of(question)] if count <= 1 else _MORE[known]
        place = self._said[fitting] % len(fitting)
        self._said[fitting] += 1
        return fitting[place], known


def our_phrases(language: str) -> Iterator[str]:
    """Everything we say ourselves, clause by clause, the likeliest first."""
    first = _FIRST[language]
    for texts in zip(*(first[name] for name in ("", "order", "how", "price", "problem")), strict=True):
        yield from texts
    yield from _MORE[language]
    for text in (PHRASES[language].refusal,):  # type: ignore[index]
        splitter, ear = ClauseSplitter(), EarText()
        splitter.feed(text)
        splitter.finish()
        while (piece := splitter.take()) is not None:
            if spoken := ear.read(piece.text, language):
                yield spoken


OURS = frozenset(phrase for language in _FIRST for phrase in our_phrases(language))
"""The same for all tenants."""
