"""Whether what was retrieved can answer at all, decided before a word is generated.

This gate is for questions that nothing in the knowledge base is about: it must not refuse what the documents answer in
other words, so it asks for little. Near misses (the subject is there, the answer is not) are left to the model, which
is told to say so, and to the checks on what it says. Thresholds: docs/answering.md.
"""

import re
from dataclasses import dataclass

from voicehelper.rag.context import Context
from voicehelper.rag.language import language_of
from voicehelper.rag.relevance import crosses_languages
from voicehelper.rag.terms import product_codes
from voicehelper.retrieval.analysis import fold

MIN_COSINE = 0.80
"""Below this no passage is about the question, in the default embedding space (multilingual-e5-small)."""
SURE_COSINE = 0.86
"""Above this the passage is about the question, whatever its words."""
MIN_COVERED = 0.25
"""Between the two, the words decide: the weighted share of the question's terms that the context holds."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer.

    Attributes:
        cosine: of the best passage; None without a dense score.
        covered: weighted share of the question's words that the context holds.
        unknown_codes: product codes the question names and no passage mentions.
        enough: the verdict.
    """

    cosine: float | None
    covered: float
    unknown_codes: tuple[str, ...]
    enough: bool


def weigh(context: Context, question: str) -> Evidence:
    """The evidence in `context` for `question` (its own words, without the history it leans on)."""
    cosines = [scored.scores["dense"] for scored in context.passages if "dense" in scored.scores]
    cosine = max(cosines, default=None)
    unknown = _unknown_codes(question, context)
    across = crosses_languages(context.passages, language_of(question))
    covered = 1.0 if across else context.covered  # words cannot match across languages: their absence says nothing
    enough = bool(context.chosen) and not unknown and _is_about(cosine, covered)
    return Evidence(cosine and round(cosine, 3), round(context.covered, 3), unknown, enough)


def _is_about(cosine: float | None, covered: float) -> bool:
    if cosine is None:
        return covered >= MIN_COVERED
    return cosine >= MIN_COSINE and (cosine >= SURE_COSINE or covered >= MIN_COVERED)


def _unknown_codes(question: str, context: Context) -> tuple[str, ...]:
    """`C8` in the question, and only other models in the passages: they are about something else."""
    passages = [scored.passage for scored in context.passages]
    known = fold(" ".join(" ".join([p.document_name, *p.heading, p.text]) for p in passages)).replace("-", "")
    return tuple(code for code in product_codes(question) if not re.search(rf"(?<![a-z0-9]){code}(?![0-9])", known))
