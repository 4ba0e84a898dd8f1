"""Which sentence of the answer rests on which source sentence: computed from the texts, not claimed by the model.

A sentence of the answer is supported when enough of its terms stand in one source sentence (a second one may be added
for the rest) and every number it states stands there too. Terms are weighted by how rare they are among the sources.
An answer in another language than its source shares no terms with it; there only numbers and codes can speak.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from voicehelper.rag.context import Context, Sentence
from voicehelper.rag.events import Citation
from voicehelper.rag.language import language_of
from voicehelper.rag.numbers import stated
from voicehelper.rag.terms import Weights, content_terms

SUPPORTED = 0.45
"""Least weighted share of an answer sentence's terms that its sources must hold."""
_SECOND_GAIN = 0.2
_ACROSS_LANGUAGES = 0.5
_SHOWN_BONUS, _ASKED_BONUS = 0.05, 0.1
_FEW_TERMS = 3
_ELLIPTIC, _ELLIPTIC_OWN = 0.2, 0.04


@dataclass(frozen=True, slots=True)
class Support:
    """A sentence of the answer at `start`..`end`, the sources it rests on (empty: none) and how well."""

    start: int
    end: int
    sources: tuple[Sentence, ...]
    score: float


def align(answer: str, spans: Sequence[tuple[int, int]], context: Context, question: str) -> list[Support]:
    """The support of each sentence of `answer` at `spans` that says something.

    "可以。" and "3天" say something only together with the `question`: so short a sentence borrows its terms.
    """
    aligner = _Aligner(context, content_terms(question))
    found = [aligner.support(answer, start, end) for start, end in spans]
    return [support for support in found if support is not None]


def cite(supports: Sequence[Support], context: Context) -> tuple[Citation, ...]:
    """Citations in reading order; a passage keeps its number wherever it is cited."""
    numbers: dict[int, int] = {}
    citations = []
    for support in supports:
        for source in support.sources:
            passage = context.passages[source.passage].passage
            citations.append(
                Citation(
                    index=numbers.setdefault(source.passage, len(numbers) + 1),
                    start=support.start,
                    end=support.end,
                    chunk_id=passage.chunk_id,
                    document_id=passage.document_id,
                    document_name=passage.document_name,
                    page=passage.page,
                    heading=passage.heading,
                    quote=source.text,
                    score=support.score,
                )
            )
    return tuple(citations)


class _Aligner:
    def __init__(self, context: Context, asked: frozenset[str]) -> None:
        self._context = context
        self._asked = asked
        self._shown = frozenset(context.chosen)
        self._weights = Weights(sentence.terms for sentence in context.sentences)

    def support(self, answer: str, start: int, end: int) -> Support | None:
        text = answer[start:end]
        if not any(char.isalnum() for char in text):
            return None
        terms, numbers = content_terms(text), stated(text)
        if len(terms) < _FEW_TERMS:
            return self._elliptic(answer, start, end, numbers)
        ranked = self._ranked(terms)
        for score, sentence in ranked[:5]:
            sources = self._completed(sentence, terms, numbers, ranked)
            if sources and score + _SECOND_GAIN * (len(sources) - 1) >= SUPPORTED:
                held = frozenset().union(*(source.terms for source in sources))
                return Support(start, end, sources, round(self._weights.coverage(terms, held), 3))
        across = self._across_languages(text, terms, numbers)
        return Support(start, end, across, _ACROSS_LANGUAGES if across else 0.0)

    def _elliptic(self, answer: str, start: int, end: int, numbers: frozenset[str]) -> Support:
        """The shown sentence with all numbers of so short a sentence and most of the question, under its sub-heading.

        Where the answer's own number or words stand in the sentence, less of the question is enough.
        """
        text = answer[start:end]  # the "不" of "不能" stands by itself and says nothing
        terms = frozenset(term for term in content_terms(text) if len(term) > 1) - numbers
        best, sources = 0.0, ()  # type: tuple[float, tuple[Sentence, ...]]
        for sentence in self._context.shown():
            held = sentence.terms | self._context.label_terms(sentence)
            score = self._weights.coverage(self._asked, held)
            least = _ELLIPTIC_OWN if numbers or terms & held else _ELLIPTIC
            foreign = not numbers and language_of(sentence.text) != language_of(text)
            if numbers <= sentence.numbers and score > max(best, least) and not foreign:
                best, sources = score, (sentence,)
        return Support(start, end, sources, round(best, 3))

    def _ranked(self, terms: frozenset[str]) -> list[tuple[float, Sentence]]:
        """Sentences by how much of `terms` they hold; those shown and those close to the question win ties."""
        scored = [
            (
                self._weights.coverage(terms, sentence.terms)
                + _SHOWN_BONUS * (index in self._shown)
                + _ASKED_BONUS * self._weights.coverage(self._asked, sentence.terms),
                sentence,
            )
            for index, sentence in enumerate(self._context.sentences)
        ]
        return sorted(scored, key=lambda item: -item[0])

    def _completed(
        self,
        first: Sentence,
        terms: frozenset[str],
        numbers: frozenset[str],
        ranked: Sequence[tuple[float, Sentence]],
    ) -> tuple[Sentence, ...]:
        """`first`, with a second sentence where that adds much or is needed for the numbers; empty if they miss."""
        missing, rest = numbers - first.numbers, terms - first.terms
        for _, second in ranked[:20]:
            gain = self._weights.coverage(terms, rest & second.terms)
            if second is not first and missing <= second.numbers and (missing or gain >= _SECOND_GAIN):
                return (first, second)
        return () if missing else (first,)

    def _across_languages(self, text: str, terms: frozenset[str], numbers: frozenset[str]) -> tuple[Sentence, ...]:
        """The shown sentence in the other language that holds all numbers and codes, of which there must be one."""
        codes = frozenset(term for term in terms if any(char.isdigit() for char in term)) - numbers
        if not numbers and not codes:
            return ()
        language = language_of(text)
        for sentence in self._context.shown():
            other = language_of(sentence.text) != language
            if other and numbers <= sentence.numbers and codes <= sentence.terms:
                return (sentence,)
        return ()
