"""From passages to the few sentences that matter: on a CPU the prompt's length is the latency."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from voicehelper.rag.language import language_of
from voicehelper.rag.relevance import of_other_products, relevance, shared_phrase
from voicehelper.rag.sentences import Sentence, joined, same_table, split_passages, title_of
from voicehelper.rag.terms import Weights, content_terms, question_terms
from voicehelper.rag.tokens import estimate_tokens
from voicehelper.retrieval.model import ScoredPassage

# Shares of a sentence's score: its own words, its heading's, its document's title's, a phrase of the question that its
# sub-heading repeats, how well its passage was found, and having a number where one is asked for; then, as sentences
# are chosen, the question's words that none of those chosen has.
_OWN, _HEADING, _TITLE, _PHRASE, _PASSAGE, _NUMBER, _NEW = 0.5, 0.5, 0.5, 0.6, 0.5, 0.15, 0.5
_ELSEWHERE = 0.4  # what a sub-heading counts in a document whose title shares no word with the question
_REPEAT = 0.04  # taken off for each sentence its passage already gave: where no words match, several passages may speak
_ASKS_NUMBER = re.compile(
    r"多少|多久|多长|多大|多重|多深|多高|几[个天次年月点折块元期小种台]|几时|什么时候"
    r"|how (?:many|much|long|far|old|big|heavy|soon)|when",
    re.IGNORECASE,
)
# What a sentence's neighbours get of its score: what follows a matching sentence explains it.
_NEXT, _PREVIOUS, _TOGETHER = 0.6, 0.4, 0.95
_ITEM = re.compile(r"\d{1,2}[.、)）]")
_LEAST = 0.35  # a sentence worth less than this share of the best one only costs time


@dataclass(frozen=True, slots=True)
class Context:
    """What the model is shown, and what it was chosen from.

    Attributes:
        sentences: every sentence of every passage, in passage and text order.
        chosen: indices into `sentences` of those shown, in that order.
        best: the best sentence's weighted share of the question's terms, 0 to 1.
        covered: the share of the question's terms that the chosen sentences and their headings hold together.
        order: numbers of the passages shown, the most promising first: small models copy from the beginning.
    """

    passages: tuple[ScoredPassage, ...]
    sentences: tuple[Sentence, ...]
    chosen: tuple[int, ...]
    best: float = 0.0
    covered: float = 0.0
    order: tuple[int, ...] = ()

    def shown(self) -> tuple[Sentence, ...]:
        """The chosen sentences, as they are shown: the most promising passage first."""
        chosen = [self.sentences[index] for index in self.chosen]
        return tuple(sentence for number in self.order for sentence in chosen if sentence.passage == number)

    def label_terms(self, sentence: Sentence) -> frozenset[str]:
        """Terms of the sub-heading line `sentence` stands under."""
        return self.sentences[sentence.label].terms if sentence.label >= 0 else frozenset()

    def title(self, sentence: Sentence) -> str:
        """The heading that the passage of `sentence` stands under."""
        return title_of(self.passages[sentence.passage])

    def render(self) -> str:
        """The chosen sentences under their headings; gaps within a passage are marked."""
        parts: list[str] = []
        for number in self.order:
            mine = [index for index in self.chosen if self.sentences[index].passage == number]
            parts.append(f"【{title_of(self.passages[number])}】{joined(mine, self.sentences)}")
        return "\n".join(parts)


def build_context(query: str, passages: Sequence[ScoredPassage], budget_tokens: int, focus: str = "") -> Context:
    """Choose the sentences of `passages` (best first) that answer `query`, within about `budget_tokens`.

    `focus` is the part of the query that counts double: a follow-up's own words.
    """
    sentences = split_passages(passages)
    if not sentences:
        return Context(tuple(passages), (), ())
    return _Chooser(query, focus, passages, sentences).choose(budget_tokens)


class _Chooser:
    def __init__(
        self, query: str, focus: str, passages: Sequence[ScoredPassage], sentences: Sequence[Sentence]
    ) -> None:
        self._passages, self._sentences = tuple(passages), tuple(sentences)
        self._wanted = question_terms(query)
        self._weights = Weights((sentence.terms for sentence in sentences), content_terms(focus))
        self._titles = [content_terms(title_of(scored)) for scored in passages]
        self._headings = [self._titles[s.passage] | self._label_terms(s) for s in sentences]
        self._relevance = relevance(self._passages, language_of(query))
        self._others = of_other_products(query, self._passages)
        asked = focus or query
        self._phrases = [shared_phrase(asked, s.text) if s.is_label else 0.0 for s in sentences]
        self._costs = [estimate_tokens(sentence.text) for sentence in sentences]
        self._title_costs = [estimate_tokens(title_of(scored)) + 3 for scored in passages]
        self._own = [self._weights.coverage(self._wanted, sentence.terms) for sentence in sentences]
        self._scores = self._smoothed(self._base_scores(bool(_ASKS_NUMBER.search(query))))

    def _label_terms(self, sentence: Sentence) -> frozenset[str]:
        return self._sentences[sentence.label].terms if sentence.label >= 0 else frozenset()

    def choose(self, budget: int) -> Context:
        """Greedily: the best affordable sentence, again and again. The very best is always in."""
        chosen: list[int] = []
        missing = self._wanted
        own = [index for index, sentence in enumerate(self._sentences) if sentence.passage not in self._others]
        left = {index for index in own if not self._sentences[index].is_label} or set(own[:1])
        best = 0.0
        while left:
            picked = None
            for value, index in self._ranked(left, missing, chosen):
                best = best or value
                if value < _LEAST * best:
                    return self._context(tuple(sorted(chosen)))
                left.discard(index)
                if self._fits(index, chosen, budget):
                    picked = index
                    break
            if picked is None:
                break
            budget -= self._cost(picked, chosen)
            chosen.append(picked)
            missing -= self._sentences[picked].terms | self._label_terms(self._sentences[picked])
        return self._context(tuple(sorted(chosen)))

    def _ranked(self, left: set[int], missing: frozenset[str], chosen: Sequence[int]) -> list[tuple[float, int]]:
        """Values and indices of `left`, best first, earlier sentences first among equals."""
        given = Counter(self._sentences[i].passage for i in chosen)
        valued = sorted(((self._value(i, missing, given), -i) for i in left), reverse=True)
        return [(value, -index) for value, index in valued]

    def _fits(self, index: int, chosen: Sequence[int], budget: int) -> bool:
        """Whether the sentence is new and affordable; the very first always is."""
        text = self._sentences[index].text
        affordable = not chosen or self._cost(index, chosen) <= budget
        return affordable and all(self._sentences[i].text != text for i in chosen)

    def _value(self, index: int, missing: frozenset[str], given: Mapping[int, int]) -> float:
        sentence = self._sentences[index]
        gained = missing & (sentence.terms | self._label_terms(sentence))
        new = _NEW * self._weights.share(gained, self._wanted)
        return self._scores[index] + new - _REPEAT * given.get(sentence.passage, 0)

    def _cost(self, index: int, chosen: Sequence[int]) -> int:
        """Tokens of the sentence, and of its passage's title and its label where it is the first under them."""
        sentence = self._sentences[index]
        cost = self._costs[index]
        if all(self._sentences[i].passage != sentence.passage for i in chosen):
            cost += self._title_costs[sentence.passage]
        if sentence.label >= 0 and all(self._sentences[i].label != sentence.label for i in chosen):
            cost += self._costs[sentence.label] + 1
        return cost

    def _context(self, chosen: tuple[int, ...]) -> Context:
        terms = (self._sentences[i].terms | self._headings[i] for i in chosen)
        covered = self._weights.coverage(self._wanted, frozenset().union(*terms))
        best: dict[int, float] = {}
        for index in chosen:
            number = self._sentences[index].passage
            best[number] = max(best.get(number, 0.0), self._scores[index])
        order = tuple(sorted(best, key=lambda number: (-best[number], number)))
        return Context(self._passages, self._sentences, chosen, max(self._own), covered, order)

    def _base_scores(self, asks_number: bool) -> list[float]:
        return [
            _OWN * own
            + self._by_heading(sentence)
            + _PASSAGE * self._relevance[sentence.passage]
            + (_NUMBER if asks_number and sentence.numbers else 0.0)
            for sentence, own in zip(self._sentences, self._own, strict=True)
        ]

    def _by_heading(self, sentence: Sentence) -> float:
        title, label = self._titles[sentence.passage], self._label_terms(sentence)
        by_title = len(self._wanted & title) / max(1, len(self._wanted))  # unweighted: titles' words are common ones
        by_label = self._weights.coverage(self._wanted, label - title)
        phrase = self._phrases[sentence.label] if sentence.label >= 0 else 0.0
        scale = 1.0 if by_title else _ELSEWHERE
        return (_HEADING + _TITLE) * by_title + scale * (_HEADING * by_label + _PHRASE * phrase)

    def _smoothed(self, scores: Sequence[float]) -> list[float]:
        """Scores raised by those of neighbours: forwards, then backwards; the steps of a list pull each other along."""
        smoothed = list(scores)
        pairs = list(enumerate(pairwise(self._sentences)))
        for index, (left, right) in pairs:
            smoothed[index + 1] = max(smoothed[index + 1], _pull(left, right, _NEXT) * smoothed[index])
        for index, (left, right) in reversed(pairs):
            smoothed[index] = max(smoothed[index], _pull(left, right, _PREVIOUS) * smoothed[index + 1])
        return smoothed


def _pull(left: Sentence, right: Sentence, share: float) -> float:
    if left.passage != right.passage or right.is_label:
        return 0.0
    together = (
        (_ITEM.match(left.text) and _ITEM.match(right.text))
        or (left.line == right.line and left.text.endswith(("；", ";")))
        or same_table(left, right)
    )
    return _TOGETHER if together else share
