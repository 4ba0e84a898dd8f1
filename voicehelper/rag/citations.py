"""Which sentence of the answer rests on which source sentence: computed from the texts, not claimed by the model.

A sentence of the answer is supported when enough of its terms stand in one source sentence (a second one may be added
for the rest) and every number it states stands there too. Terms are weighted by how rare they are among the sources.
An answer in another language than its source shares no terms with it; there only numbers and codes can speak.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from voicehelper.rag.context import Context
from voicehelper.rag.events import Citation
from voicehelper.rag.language import language_of
from voicehelper.rag.numbers import mentioned, stated
from voicehelper.rag.sentences import Sentence
from voicehelper.rag.terms import Weights, content_terms

SUPPORTED = 0.45
"""Least weighted share of an answer sentence's terms that its sources must hold."""
_SECOND_GAIN = 0.2
_MOST_SOURCES = 8
_ACROSS_LANGUAGES = 0.5
_SHOWN_BONUS, _ASKED_BONUS = 0.05, 0.1
_FEW_TERMS = 3
_ELLIPTIC, _ELLIPTIC_OWN, _ASKED_NUMBER = 0.2, 0.04, 0.1
_DENIES = re.compile(r"\s*(?:[不没无未]|no\b|not\b)", re.IGNORECASE)
_RESTRICTS = re.compile(r"[不没无未勿禁仅只限]|\b(?:no|not|never|only|cannot)\b|n't", re.IGNORECASE)
_LIST_MARK = re.compile(r"^(?:[-*•·]|\d{1,2}[.、)）])\s*")
_BARE = re.compile(
    r"\s*(?:是的?|不是|对|可以|不可以|不可|能|不能|会|不会|支持|不支持|有|没有|要|不要|不用|需要|不需要|yes|no)[。.！!\s]*",
    re.IGNORECASE,
)


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
    aligner = _Aligner(context, question)
    found = [aligner.support(answer, start, end) for start, end in spans]
    return [support for support in found if support is not None]


def spelled_out(answer: str, context: Context, question: str) -> str:
    """The sentence that a yes or no, or an answer that only repeats the question, rests on: what makes it an answer.

    Empty for any other answer, and where no sentence supports it.
    """
    terms = content_terms(answer)
    echo = len(terms) < _FEW_TERMS and terms <= content_terms(question) and not stated(answer)
    if not _BARE.fullmatch(answer) and not (answer.strip() and echo):
        return ""
    quotes = [
        source.text for support in align(answer, [(0, len(answer))], context, question) for source in support.sources
    ]
    if not quotes:
        return ""
    gap = " " if language_of(answer) == "en" and not answer.endswith(" ") else ""
    return gap + _LIST_MARK.sub("", " ".join(quotes[0].split()))


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
    def __init__(self, context: Context, question: str) -> None:
        self._context = context
        self._asked = content_terms(question)
        titles = {sentence.passage: context.title(sentence) for sentence in context.shown()}
        self._titles = {passage: content_terms(title) & self._asked for passage, title in titles.items()}
        self._asked_numbers = frozenset(re.findall(r"\d+", question)) - mentioned(" ".join(titles.values()))
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
            held = self._weights.coverage(terms, frozenset().union(*(source.terms for source in sources)))
            if sources and score + held - self._weights.coverage(terms, sentence.terms) >= SUPPORTED:
                return Support(start, end, sources, round(held, 3))
        across = self._across_languages(text, terms, numbers)
        return Support(start, end, across, _ACROSS_LANGUAGES if across else 0.0)

    def _elliptic(self, answer: str, start: int, end: int, numbers: frozenset[str]) -> Support:
        """The shown sentence with all numbers of so short a sentence that the question itself aligns with best.

        Where the answer's own number or words stand in the sentence, less of the question is enough. A no must rest on
        a sentence that says no, or only: that nothing is said of a thing does not mean that there is none.
        """
        text = answer[start:end]  # the "不" of "不能" stands by itself and says nothing
        terms = frozenset(term for term in content_terms(text) if len(term) > 1) - numbers
        best, sources = 0.0, ()  # type: tuple[float, tuple[Sentence, ...]]
        for sentence in self._context.shown():
            score = self._asked_of(sentence)
            least = _ELLIPTIC_OWN if numbers or terms & sentence.terms else _ELLIPTIC
            foreign = not numbers and language_of(sentence.text) != language_of(text)
            if _DENIES.match(text) and not _RESTRICTS.search(sentence.text):
                continue
            if numbers <= sentence.numbers and score > max(best, least) and not foreign:
                best, sources = score, (sentence,)
        return Support(start, end, sources, round(min(best, 1.0), 3))

    def _asked_of(self, sentence: Sentence) -> float:
        """How much of the question `sentence` holds under its headings, and of the numbers asked about.

        A sub-heading counts little in a document about something else, where another one's title names the subject.
        """
        title = self._titles[sentence.passage]
        label = self._context.label_terms(sentence) if title or not any(self._titles.values()) else frozenset()
        numbers = _ASKED_NUMBER if self._asked_numbers & sentence.numbers else 0.0
        return self._weights.coverage(self._asked, sentence.terms | label | title) + numbers

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
        """`first`, with others that add much or are needed for the numbers; empty if numbers are still missing.

        One other sentence may come from anywhere; an answer that sums up a table may rest on more of the same passage.
        """
        sources = [first]
        missing, rest = numbers - first.numbers, terms - first.terms
        while len(sources) < _MOST_SOURCES:
            gains = [
                (len(missing & other.numbers), self._weights.coverage(terms, rest & other.terms), -place, other)
                for place, (_, other) in enumerate(ranked)
                if other not in sources and (len(sources) == 1 or other.passage == first.passage)
            ]
            found, gain, _, other = max(gains, key=lambda item: item[:3], default=(0, 0.0, 0, first))
            if not found and gain < _SECOND_GAIN:
                break
            sources.append(other)
            missing, rest = missing - other.numbers, rest - other.terms
        return () if missing else tuple(sources)

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
