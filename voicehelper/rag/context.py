"""From passages to the few sentences that matter: on a CPU the prompt's length is the latency."""

from collections.abc import Sequence
from dataclasses import dataclass

from voicehelper.documents.sentences import split_sentences
from voicehelper.rag.numbers import mentioned
from voicehelper.rag.terms import Weights, content_terms
from voicehelper.rag.tokens import estimate_tokens
from voicehelper.retrieval.model import ScoredPassage

# Shares of a sentence's score: its own words, its heading's, and how well its passage was found.
_OWN, _HEADING, _PASSAGE = 1.0, 0.5, 0.5
# What a sentence's neighbours get of its score: what follows a matching sentence explains it.
_NEXT, _PREVIOUS = 0.6, 0.4
_HEADING_TOKENS = 6
_LONG_SENTENCE_CHARS = 400


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a retrieved passage; `start`/`end` are offsets in the passage's text."""

    passage: int
    start: int
    end: int
    text: str
    terms: frozenset[str]
    numbers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Context:
    """What the model is shown, and what it was chosen from.

    Attributes:
        sentences: every sentence of every passage, in passage and text order.
        chosen: indices into `sentences` of those shown, in that order.
        best: the best sentence's weighted share of the question's terms, 0 to 1.
        covered: the share of the question's terms that the chosen sentences and their headings hold together.
    """

    passages: tuple[ScoredPassage, ...]
    sentences: tuple[Sentence, ...]
    chosen: tuple[int, ...]
    best: float = 0.0
    covered: float = 0.0

    def shown(self) -> tuple[Sentence, ...]:
        """The chosen sentences."""
        return tuple(self.sentences[index] for index in self.chosen)

    def render(self) -> str:
        """The chosen sentences under their headings; gaps within a passage are marked."""
        parts: list[str] = []
        for number, scored in enumerate(self.passages):
            mine = [index for index in self.chosen if self.sentences[index].passage == number]
            if mine:
                parts.append(f"【{_title(scored)}】{_joined(mine, self.sentences)}")
        return "\n".join(parts)


def build_context(query: str, passages: Sequence[ScoredPassage], budget_tokens: int) -> Context:
    """Choose the sentences of `passages` (best first) that answer `query`, within about `budget_tokens`."""
    sentences = [sentence for number, scored in enumerate(passages) for sentence in _split(number, scored)]
    if not sentences:
        return Context(tuple(passages), (), ())
    wanted = content_terms(query)
    weights = Weights(sentence.terms for sentence in sentences)
    headings = [content_terms(_title(scored)) for scored in passages]
    own = [weights.coverage(wanted, sentence.terms) for sentence in sentences]
    scores = _smoothed(sentences, _scores(sentences, own, [weights.coverage(wanted, h) for h in headings], passages))
    chosen = _choose(sentences, scores, passages, budget_tokens)
    together = frozenset().union(*(sentences[i].terms | headings[sentences[i].passage] for i in chosen))
    return Context(tuple(passages), tuple(sentences), chosen, max(own), weights.coverage(wanted, together))


def _split(number: int, scored: ScoredPassage) -> list[Sentence]:
    text = scored.passage.text
    return [
        Sentence(number, start, end, text[start:end], content_terms(text[start:end]), mentioned(text[start:end]))
        for start, end in split_sentences(text)
    ]


def _title(scored: ScoredPassage) -> str:
    passage = scored.passage
    name = passage.document_name.rsplit(".", 1)[0]
    heading = [part for part in passage.heading if part != name][-2:]
    return " > ".join(heading or [name])


def _scores(
    sentences: Sequence[Sentence], own: Sequence[float], headings: Sequence[float], passages: Sequence[ScoredPassage]
) -> list[float]:
    top = max(scored.score for scored in passages) or 1.0
    return [
        _OWN * mine + _HEADING * headings[sentence.passage] + _PASSAGE * _relative(passages[sentence.passage], top)
        for sentence, mine in zip(sentences, own, strict=True)
    ]


def _relative(scored: ScoredPassage, top: float) -> float:
    return max(0.0, scored.score / top) ** 4 if top > 0 else 1.0


def _smoothed(sentences: Sequence[Sentence], scores: Sequence[float]) -> list[float]:
    smoothed = list(scores)
    for index in range(len(scores) - 1):
        if sentences[index].passage == sentences[index + 1].passage:
            smoothed[index + 1] = max(smoothed[index + 1], _NEXT * scores[index])
            smoothed[index] = max(smoothed[index], _PREVIOUS * scores[index + 1])
    return smoothed


def _choose(
    sentences: Sequence[Sentence], scores: Sequence[float], passages: Sequence[ScoredPassage], budget: int
) -> tuple[int, ...]:
    """Greedily by score; a heading is paid for once. The best sentence is always in."""
    chosen: list[int] = []
    seen: set[str] = set()
    opened: set[int] = set()
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        sentence = sentences[index]
        if sentence.text in seen:
            continue
        cost = estimate_tokens(sentence.text)
        if sentence.passage not in opened:
            cost += estimate_tokens(_title(passages[sentence.passage])) + 3
        if cost > budget and chosen:
            continue
        budget -= cost
        seen.add(sentence.text)
        opened.add(sentence.passage)
        chosen.append(index)
    return tuple(sorted(chosen))


def _joined(indices: Sequence[int], sentences: Sequence[Sentence]) -> str:
    text = ""
    for before, index in zip([None, *indices], indices, strict=False):
        gap = "" if before is None else "…" if index != before + 1 else _space(text, sentences[index].text)
        text += gap + " ".join(sentences[index].text.split())
    return text


def _space(left: str, right: str) -> str:
    return " " if left[-1:].isascii() and right[:1].isascii() else ""
