"""Whether what was retrieved can answer at all, decided before a word is generated.

This gate is for questions that nothing in the knowledge base is about: it must not refuse what the documents answer in
other words, so it asks for little. Near misses (the subject is there, the answer is not) are left to the model, which
is told to say so, and to the checks on what it says. Thresholds: docs/answering.md.
"""

from dataclasses import dataclass

from voicehelper.rag.context import Context

MIN_COSINE = 0.80
"""Below this no passage is about the question, in the default embedding space (multilingual-e5-small)."""
SURE_COSINE = 0.86
"""Above this the passage is about the question, whatever its words."""
MIN_COVERED = 0.25
"""Between the two, the words decide: the weighted share of the question's terms that the context holds."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """`cosine` of the best passage (None without a dense score) and the words' coverage; `enough` is the verdict."""

    cosine: float | None
    covered: float
    enough: bool


def weigh(context: Context) -> Evidence:
    """The evidence in `context` for the question it was built for."""
    cosines = [scored.scores["dense"] for scored in context.passages if "dense" in scored.scores]
    cosine = max(cosines, default=None)
    enough = bool(context.chosen) and (
        context.covered >= MIN_COVERED if cosine is None or cosine < SURE_COSINE else True
    )
    if cosine is not None and cosine < MIN_COSINE:
        enough = False
    return Evidence(cosine, round(context.covered, 3), enough)
