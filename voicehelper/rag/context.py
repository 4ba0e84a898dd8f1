"""From passages to the few sentences that matter: on a CPU the prompt's length is the latency."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from voicehelper.documents.sentences import split_sentences
from voicehelper.rag.language import Language, language_of
from voicehelper.rag.numbers import mentioned
from voicehelper.rag.terms import Weights, content_terms, product_codes, question_terms
from voicehelper.rag.tokens import estimate_tokens
from voicehelper.retrieval.analysis import fold
from voicehelper.retrieval.model import ScoredPassage

# Shares of a sentence's score: its own words, its heading's, its document's title's, a phrase of the question that its
# sub-heading repeats, how well its passage was found, and having a number where one is asked for; then, as sentences
# are chosen, the question's words that none of those chosen has.
_OWN, _HEADING, _TITLE, _PHRASE, _PASSAGE, _NUMBER, _NEW = 0.5, 0.5, 0.5, 0.6, 0.5, 0.15, 0.5
_SHORTEST_PHRASE = 3
_ELSEWHERE = 0.4  # what a sub-heading counts in a document whose title shares no word with the question
_REPEAT = 0.04  # taken off for each sentence its passage already gave: where no words match, several passages may speak
_OTHER_LANGUAGE = 0.04  # what a cosine across languages is lower by, on average, for the default embedder
_DENSE_SPREAD = 0.08  # a cosine this far below the best one says that the passage is about something else
_ASKS_NUMBER = re.compile(
    r"多少|多久|多长|多大|多重|多深|多高|几[个天次年月点折块元期小种台]|几时|什么时候"
    r"|how (?:many|much|long|far|old|big|heavy|soon)|when",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[^。！；：:;,，|\d]{2,18}|(?:[A-Za-z'’/&-]+ ){0,7}[A-Za-z'’/&-]+\??")
# What a sentence's neighbours get of its score: what follows a matching sentence explains it.
_NEXT, _PREVIOUS, _TOGETHER = 0.6, 0.4, 0.95
_ITEM = re.compile(r"\d{1,2}[.、)）]")
_ROW = re.compile(r"([^：:，。]{1,16})：[^：]*，[^：，。]{1,16}：")  # a line of a table: "列：值，列：值"
_TWO_COLUMNS = re.compile(r"[^：]{1,16}：([^：]*)，[^：，]{1,16}：([^：]*)")
_SILENT = re.compile(r"[\W_]+|[吗呢呀啊]$")
_WRAPPED = re.compile(r"[，、的和与及或把从到]$")  # a line break within a sentence, as PDFs have
_SHORTEST_WRAPPED = 20
_LEAST = 0.35  # a sentence worth less than this share of the best one only costs time


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a retrieved passage; `start`/`end` are offsets in the passage's text, `line` counts its lines.

    `label` is the index of the sub-heading line it stands under, -1 for none; `is_label` marks such a line.
    """

    passage: int
    start: int
    end: int
    line: int
    text: str
    terms: frozenset[str]
    numbers: frozenset[str]
    label: int = -1
    is_label: bool = False


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
        return _title(self.passages[sentence.passage])

    def render(self) -> str:
        """The chosen sentences under their headings; gaps within a passage are marked."""
        parts: list[str] = []
        for number in self.order:
            mine = [index for index in self.chosen if self.sentences[index].passage == number]
            parts.append(f"【{_title(self.passages[number])}】{_joined(mine, self.sentences)}")
        return "\n".join(parts)


def build_context(query: str, passages: Sequence[ScoredPassage], budget_tokens: int, focus: str = "") -> Context:
    """Choose the sentences of `passages` (best first) that answer `query`, within about `budget_tokens`.

    `focus` is the part of the query that counts double: a follow-up's own words.
    """
    sentences = _split(passages)
    if not sentences:
        return Context(tuple(passages), (), ())
    return _Chooser(query, focus, passages, sentences).choose(budget_tokens)


def _split(passages: Sequence[ScoredPassage]) -> list[Sentence]:
    found: list[Sentence] = []
    for number, scored in enumerate(passages):
        text, label = scored.passage.text, -1
        for start, end in _unwrapped(text, split_sentences(text)):
            own, line = text[start:end], text.count("\n", 0, start)
            is_label = _is_label(own, start == 0 or text[start - 1] == "\n", text[end : end + 1] == "\n")
            label = len(found) if is_label else label
            terms, numbers = content_terms(own), mentioned(own)
            found.append(Sentence(number, start, end, line, own, terms, numbers, label, is_label))
    return found


def _unwrapped(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans` with what a line break cut in two (as PDFs do) put together again."""
    whole: list[tuple[int, int]] = []
    for start, end in spans:
        left = text[text.rfind("\n", 0, whole[-1][1]) + 1 : whole[-1][1]] if whole else ""
        if len(left) >= _SHORTEST_WRAPPED and _WRAPPED.search(left):
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return whole


def _is_label(text: str, starts_line: bool, ends_line: bool) -> bool:
    """Whether this is a short line that names what follows, as small sections joined in one chunk have."""
    return starts_line and ends_line and _LABEL.fullmatch(text) is not None


def _title(scored: ScoredPassage) -> str:
    passage = scored.passage
    name = passage.document_name.rsplit(".", 1)[0]
    heading = [part for part in passage.heading if part != name][-2:]
    return " > ".join(heading or [name])


class _Chooser:
    def __init__(
        self, query: str, focus: str, passages: Sequence[ScoredPassage], sentences: Sequence[Sentence]
    ) -> None:
        self._passages, self._sentences = tuple(passages), tuple(sentences)
        self._wanted = question_terms(query)
        self._weights = Weights((sentence.terms for sentence in sentences), content_terms(focus))
        self._titles = [content_terms(_title(scored)) for scored in passages]
        self._headings = [self._titles[s.passage] | self._label_terms(s) for s in sentences]
        self._relevance = _relevance(self._passages, language_of(query))
        self._others = _of_other_products(query, self._passages)
        asked = focus or query
        self._phrases = [_shared_phrase(asked, s.text) if s.is_label else 0.0 for s in sentences]
        self._costs = [estimate_tokens(sentence.text) for sentence in sentences]
        self._title_costs = [estimate_tokens(_title(scored)) + 3 for scored in passages]
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
            given = Counter(self._sentences[i].passage for i in chosen)
            value, index = max((self._value(i, missing, given), -i) for i in left)
            index = -index
            left.discard(index)
            best = best or value
            if value < _LEAST * best:
                break
            cost = self._cost(index, chosen)
            if (cost > budget and chosen) or any(
                self._sentences[i].text == self._sentences[index].text for i in chosen
            ):
                continue
            budget -= cost
            chosen.append(index)
            missing -= self._sentences[index].terms | self._label_terms(self._sentences[index])
        return self._context(tuple(sorted(chosen)))

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
        or _same_table(left, right)
    )
    return _TOGETHER if together else share


def _of_other_products(query: str, passages: Sequence[ScoredPassage]) -> frozenset[int]:
    """Passages whose title names only other products than `query` does, where some title names one of its own."""
    asked = frozenset(product_codes(query))
    named = [frozenset(product_codes(_title(scored))) for scored in passages]
    if not any(asked & codes for codes in named):
        return frozenset()
    return frozenset(number for number, codes in enumerate(named) if codes and not codes & asked)


def _same_table(left: Sentence, right: Sentence) -> bool:
    first, second = _ROW.match(left.text), _ROW.match(right.text)
    return left.label == right.label and bool(first and second and first[1] == second[1])


def _shared_phrase(question: str, label: str) -> float:
    """Share of `question` that its longest part found in `label` makes up; 0 for a part that says little."""
    asked, said = _SILENT.sub("", fold(question)), _SILENT.sub("", fold(label))
    size = SequenceMatcher(None, asked, said, autojunk=False).find_longest_match().size
    return size / len(asked) if size >= _SHORTEST_PHRASE else 0.0


def _relevance(passages: Sequence[ScoredPassage], language: Language) -> list[float]:
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


def _joined(indices: Sequence[int], sentences: Sequence[Sentence]) -> str:
    """The sentences, each new label before its first one; gaps are marked."""
    text, before = "", None
    for index in indices:
        sentence = sentences[index]
        previous = None if before is None else sentences[before]
        if sentence.label >= 0 and (previous is None or previous.label != sentence.label):
            text += f"\n[{sentences[sentence.label].text}] " if text else f"[{sentences[sentence.label].text}] "
        elif previous is not None:
            text += "…" if index != before + 1 else _between(previous, sentence)
        follows = previous is not None and _same_table(previous, sentence)
        row = _TWO_COLUMNS.fullmatch(sentence.text) if follows else None
        text += f"{row[1]}：{row[2]}" if row else " ".join(sentence.text.split())
        before = index
    return text


def _between(left: Sentence, right: Sentence) -> str:
    """What stood between two neighbours: a line break, a space or nothing."""
    return "\n" if right.line != left.line else " " * (right.start > left.end)
