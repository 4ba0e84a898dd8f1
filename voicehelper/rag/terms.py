"""Content terms of a text, to compare sentences by: characters' bigrams and codes, without words that mean nothing."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from voicehelper.retrieval.analysis import ENGLISH_FUNCTION_WORDS, analyse, fold

# Function words and the phrases questions are made of: sharing them says nothing about the subject.
_FUNCTION = re.compile(
    "请问|你好|您好|麻烦|帮我|告诉我|想问一下|想知道|我想|我要|我们|你们|他们|咱们|是不是|能不能|可不可以|会不会|有没有|要不要|需不需要"
    "|怎么样|怎么办|怎么|怎样|如何|为什么|什么时候|什么|哪些|哪里|哪个|哪种|多久|多少|多长时间|多长|几天|几个|几点"
    "|是否|可以|能够|应该|需要|如果|要是|的话|一下|一般|吗|呢|吧|啊|呀|了|的|地|得|我|你|您|它|他|她|是|有|在|和|与|或|及|就|都|也|还|把|被|给|请|能|会|要|想|这|那|个"
)
_CODE = re.compile(r"(?<![a-z0-9])[a-z]{1,6}-?\d{1,4}(?![a-z0-9])")

# What a measure is called in a specification, where the question only says how much of it.
_ASKED = {
    "多重": "重量 净重",
    "多大": "尺寸 容量",
    "多高": "高度",
    "多宽": "宽度",
    "多深": "深度",
    "多远": "距离",
    "多少钱": "售价 价格",
    "价钱": "售价 价格",
    "how much": "price",
    "how heavy": "weight",
}


@lru_cache(maxsize=4096)  # the same passages come back with every question about them
def content_terms(text: str) -> frozenset[str]:
    """Terms that carry meaning. Bigrams do not bridge the function words that were taken out."""
    bare = _FUNCTION.sub(" ", fold(text))
    terms = analyse(bare)
    return frozenset(_stem(term) for term in terms.bigrams if term not in ENGLISH_FUNCTION_WORDS)


def question_terms(text: str) -> frozenset[str]:
    """Content terms of a question, with the noun that its question word asks for ("多重": "重量")."""
    nouns = " ".join(noun for word, noun in _ASKED.items() if word in text)
    return content_terms(f"{text} {nouns}")


def product_codes(text: str) -> tuple[str, ...]:
    """Model numbers in `text` ("KX-3", "c8"), folded and without hyphens, in order."""
    return tuple(dict.fromkeys(code.replace("-", "") for code in _CODE.findall(fold(text))))


def _stem(term: str) -> str:
    """English plurals and -ing/-ed forms meet; everything else stays."""
    if not term.isascii() or not term.isalpha() or len(term) < 4:
        return term
    for ending in ("ing", "ies", "ed", "es", "s"):
        if term.endswith(ending) and len(term) - len(ending) >= 3:
            return term[: -len(ending)]
    return term


class Weights:
    """Inverse document frequency over the sentences at hand: rare terms tell sentences apart, common ones do not.

    Terms in `favoured` count double: what a follow-up says itself matters more than what it leans on.
    """

    def __init__(self, sentences: Iterable[frozenset[str]], favoured: frozenset[str] = frozenset()) -> None:
        counted = list(sentences)
        self._favoured = favoured
        self._frequency: Mapping[str, int] = Counter(term for terms in counted for term in terms)
        self._count = len(counted)
        self._known: dict[str, float] = {}

    def of(self, term: str) -> float:
        """Weight of `term`; highest for one that no sentence has."""
        if (known := self._known.get(term)) is not None:
            return known
        weight = math.log(1 + (self._count + 1) / (self._frequency.get(term, 0) + 0.5))
        self._known[term] = weight = 2 * weight if term in self._favoured else weight
        return weight

    def coverage(self, wanted: frozenset[str], found: frozenset[str]) -> float:
        """Weighted share of `wanted` that is in `found`, 0 to 1."""
        return self.share(wanted & found, wanted)

    def share(self, part: frozenset[str], whole: frozenset[str]) -> float:
        """Weight of `part` over that of `whole`, of which it is a subset."""
        total = sum(self.of(term) for term in whole)
        return sum(self.of(term) for term in part) / total if total else 0.0
