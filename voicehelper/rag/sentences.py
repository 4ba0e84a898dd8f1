"""Sentences of retrieved passages: what stands under which heading, and how chosen ones are written down again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from voicehelper.documents.sentences import split_sentences
from voicehelper.rag.numbers import mentioned
from voicehelper.rag.terms import content_terms
from voicehelper.retrieval.model import ScoredPassage

_LABEL = re.compile(r"[^。！；：:;,，|\d]{2,18}|(?:[A-Za-z'’/&-]+ ){0,7}[A-Za-z'’/&-]+\??")
_ROW = re.compile(r"([^：:，。]{1,16})：[^：]*，[^：，。]{1,16}：")  # a line of a table: "列：值，列：值"
_WRAPPED = re.compile(r"[，、的和与及或把从到]$")  # a line break within a sentence, as PDFs have
_SHORTEST_WRAPPED = 20


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


def split_passages(passages: Sequence[ScoredPassage]) -> list[Sentence]:
    """All sentences of `passages`, in passage and text order."""
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


def title_of(scored: ScoredPassage) -> str:
    """The last two headings above the passage, else its document's name without extension."""
    passage = scored.passage
    name = passage.document_name.rsplit(".", 1)[0]
    heading = [part for part in passage.heading if part != name][-2:]
    return " > ".join(heading or [name])


def same_table(left: Sentence, right: Sentence) -> bool:
    """Whether both are rows of one table."""
    first, second = _ROW.match(left.text), _ROW.match(right.text)
    return left.label == right.label and bool(first and second and first[1] == second[1])


def joined(indices: Sequence[int], sentences: Sequence[Sentence]) -> str:
    """The sentences, each new label before its first one; gaps are marked."""
    text, before = "", None
    for index in indices:
        sentence = sentences[index]
        previous = None if before is None else sentences[before]
        if sentence.label >= 0 and (previous is None or previous.label != sentence.label):
            text += f"\n[{sentences[sentence.label].text}] " if text else f"[{sentences[sentence.label].text}] "
        elif previous is not None:
            text += "…" if index != before + 1 else _between(previous, sentence)
        text += " ".join(sentence.text.split())
        before = index
    return text


def _between(left: Sentence, right: Sentence) -> str:
    """What stood between two neighbours: a line break, a space or nothing."""
    return "\n" if right.line != left.line else " " * (right.start > left.end)
