"""Words of a company's documents, found again where the recogniser wrote other characters that sound the same.

A small recogniser hears syllables well and guesses characters from general language: 推款 for 退款, 到仗 for 到账.
Which of the many words of that sound was meant, the documents know. Correcting by pinyin against a list of expected
words is common practice behind Chinese recognisers; how strict to be was tried out (docs/voice-recognition.md). Pure.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import rjieba
from pypinyin import Style, lazy_pinyin

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
_LONGEST = 8
_FEWEST = 2  # occurrences from which two neighbouring words count as one
_FEWEST_SINGLE = 4  # the same for two single characters, which the dictionary does not know as a word: 到账
_NASAL = re.compile("(?:ng|n)$")
_FLAT = {"zh": "z", "ch": "c", "sh": "s"}
_FUNCTION = frozenset(
    "的了是不在我你他她它也就都还没有怎么想要会能可以把被从和用又再说给吗呢吧啊这那个些里上下去来过着得很请问"
)
_DIGITS = frozenset("零〇一二三四五六七八九十百千万亿两几")


def terms_of(texts: Iterable[str], most: int = 4000) -> list[str]:
    """Chinese words and pairs of words in `texts`, the most frequent first, without those of digits and of one
    character."""
    counts: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for text in texts:
        for run in _HAN.findall(text):
            words = rjieba.cut(run, False)
            counts.update(word for word in words if _is_term(word))
            pairs.update(left + right for left, right in pairwise(words) if (len(left) > 1) == (len(right) > 1))
    counts.update({pair: count for pair, count in pairs.items() if _is_one(pair, count) and _is_term(pair)})
    return [term for term, _ in counts.most_common(most)]


def _is_one(pair: str, count: int) -> bool:
    if len(pair) > 2:
        return count >= _FEWEST
    return count >= _FEWEST_SINGLE and _FUNCTION.isdisjoint(pair)


def _is_term(word: str) -> bool:
    return 1 < len(word) <= _LONGEST and not _DIGITS.issuperset(word)


@dataclass(slots=True)
class _Node:
    """Syllables that terms begin with. `term` ends here: the most important of its sound."""

    next: dict[str, "_Node"]
    term: str = ""


class SoundAlikes:
    """Corrects transcripts.

    Args:
        terms: most important first. What is not Chinese in them is ignored.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: set[str] = set()
        self._root = _Node({})
        for term in terms:
            if _HAN.fullmatch(term) and 1 < len(term) <= _LONGEST and term not in self._terms:
                self._terms.add(term)
                self._add(term)

    def __len__(self) -> int:
        return len(self._terms)

    def correct(self, text: str) -> str:
        """`text` with characters exchanged for those of a term that sounds alike; as long as before. Dictionary words
        and terms stay as they are, unless a longer term takes them in."""
        if not self._terms:
            return text
        return _HAN.sub(lambda run: self._run(run[0]), text)

    def _add(self, term: str) -> None:
        node = self._root
        for syllable in _syllables(term):
            node = node.next.setdefault(_loose(syllable), _Node({}))
        node.term = node.term or term

    def _run(self, run: str) -> str:
        words: Sequence[str] = rjieba.cut(run, False)
        edges = {0, *accumulate(map(len, words))}
        heard = [{one, _alone(char)} for one, char in zip(_syllables(run), run, strict=True)]
        parts: list[str] = []
        place = 0
        while place < len(run):
            term = self._best(run, heard, place, edges) if place in edges else ""
            parts.append(term or run[place])
            place += len(term) or 1
        return "".join(parts)

    def _best(self, run: str, heard: list[set[str]], start: int, edges: set[int]) -> str:
        """The longest term that belongs at `start`; empty for none."""
        for end, term in sorted(self._at(heard, start), reverse=True):
            window = run[start:end]
            if end not in edges:
                continue
            if window in self._terms:
                return window
            is_word = not any(start < edge < end for edge in edges)
            if not is_word and _belongs(window, heard[start:end], term):
                return term
        return ""

    def _at(self, heard: list[set[str]], start: int) -> Iterator[tuple[int, str]]:
        nodes = [self._root]
        for end in range(start + 1, min(len(heard), start + _LONGEST) + 1):
            loose = {_loose(syllable) for syllable in heard[end - 1]}
            nodes = [node.next[syllable] for syllable in loose for node in nodes if syllable in node.next]
            yield from ((end, node.term) for node in nodes if node.term)


def _belongs(window: str, heard: Sequence[set[str]], term: str) -> bool:
    """Whether `term` was meant by `window`, which sounds about like it: the same syllables, or most of its characters.
    Function words are heard right."""
    changed = [one for one, other in zip(window, term, strict=True) if one != other]
    if not _FUNCTION.isdisjoint(changed) or (len(term) == 2 and len(changed) == 2):
        return False
    same = all(syllable in readings for readings, syllable in zip(heard, _syllables(term), strict=True))
    return same or 2 * len(changed) < len(term)


def _syllables(run: str) -> list[str]:
    """One for each character, without tones."""
    unread: Any = list  # characters without a reading stand for themselves, one by one
    return lazy_pinyin(run, style=Style.NORMAL, errors=unread)


@lru_cache(8192)
def _alone(char: str) -> str:
    return _syllables(char)[0]


@lru_cache(2048)
def _loose(syllable: str) -> str:
    """The syllable without what is heard worst: a nasal at its end, and whether its initial is retroflex."""
    head = syllable[:2]
    return _NASAL.sub("", _FLAT.get(head, head) + syllable[2:])
