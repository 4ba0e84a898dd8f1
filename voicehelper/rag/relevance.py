"""How well passages fit a question as a whole: by their scores, languages, products and headings."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from voicehelper.rag.language import Language, language_of
from voicehelper.rag.sentences import title_of
from voicehelper.rag.terms import product_codes
from voicehelper.retrieval.analysis import fold
from voicehelper.retrieval.model import ScoredPassage

_OTHER_LANGUAGE = 0.04  # what a cosine across languages is lower by, on average, for the default embedder
_DENSE_SPREAD = 0.08  # a cosine this far below the best one says that the passage is about something else
_SHORTEST_PHRASE = 3
_SILENT = re.compile(r"[\W_]+|[吗呢呀啊]$")


def relevance(passages: Sequence[ScoredPassage], language: Language) -> list[float]:
    """How well each passage was found, 0 to 1: its score, and its cosine where there is one, against the best.

    Where a passage in another language than the question is near it, only the cosines count: words cannot match.
    """
    cosines = [_cosine(scored, language) for scored in passages]
    nearest = max((cosine for cosine in cosines if cosine is not None), default=0.0)
    top = max((scored.score for scored in passages), default=0.0)
    across = crosses_languages(passages, language)
    found = []
    for scored, cosine in zip(passages, cosines, strict=True):
        by_score = max(0.0, scored.score / top) ** 2 if top > 0 else 1.0
        by_cosine = by_score if cosine is None else max(0.0, 1 - (nearest - cosine) / _DENSE_SPREAD)
        found.append(by_cosine if across else (by_score + by_cosine) / 2)
    return found


def crosses_languages(passages: Sequence[ScoredPassage], language: Language) -> bool:
    """Whether the passage nearest to a question in `language` is in another one."""
    nearest = max(passages, key=lambda scored: _cosine(scored, language) or 0.0, default=None)
    return nearest is not None and language_of(nearest.passage.text) != language


def _cosine(scored: ScoredPassage, language: Language) -> float | None:
    """The passage's cosine; what only its language takes from it is given back."""
    cosine = scored.scores.get("dense")
    if cosine is None or language_of(scored.passage.text) == language:
        return cosine
    return cosine + _OTHER_LANGUAGE


def of_other_products(query: str, passages: Sequence[ScoredPassage]) -> frozenset[int]:
    """Passages whose title names only other products than `query` does, where some title names one of its own."""
    asked = frozenset(product_codes(query))
    named = [frozenset(product_codes(title_of(scored))) for scored in passages]
    if not any(asked & codes for codes in named):
        return frozenset()
    return frozenset(number for number, codes in enumerate(named) if codes and not codes & asked)


def shared_phrase(question: str, label: str) -> float:
    """Share of `question` that its longest part found in `label` makes up; 0 for a part that says little."""
    asked, said = _SILENT.sub("", fold(question)), _SILENT.sub("", fold(label))
    size = SequenceMatcher(None, asked, said, autojunk=False).find_longest_match().size
    return size / len(asked) if size >= _SHORTEST_PHRASE else 0.0
