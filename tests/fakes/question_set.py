"""The 40 questions over the sample knowledge base (`tests/data/questions.yaml`) and how an answer is judged."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import yaml

QUESTIONS = Path(__file__).resolve().parent.parent / "data" / "questions.yaml"
FRESH = QUESTIONS.with_name("questions_fresh.yaml")
"""Twelve questions that nobody has tuned on."""
_DASHES = dict.fromkeys(map(ord, "–—−‐‑~～"), "-")


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier exchange of the conversation."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """A question with what its answer must hold. `expect` is empty for one that must be refused."""

    id: str
    lang: str
    question: str
    answerable: bool
    expect: tuple[tuple[str, ...], ...]
    source: tuple[str, ...]
    history: tuple[Turn, ...] = ()

    @property
    def held_out(self) -> bool:
        """q21 and later are not tuned on."""
        return int(self.id[1:]) > 20


def load_questions(path: Path = QUESTIONS) -> list[EvalQuestion]:
    """All questions, in order."""
    return [
        EvalQuestion(
            id=entry["id"],
            lang=entry["lang"],
            question=entry["question"],
            answerable=entry["answerable"],
            expect=tuple(tuple(str(text) for text in group) for group in entry["expect"]),
            source=tuple(entry["source"]),
            history=tuple(Turn(**turn) for turn in entry.get("history", [])),
        )
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def normalise(text: str) -> str:
    """NFKC, lower case, no white space, one kind of dash: what is compared."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    return "".join(folded.split())


def holds_expected(question: EvalQuestion, answer: str) -> bool:
    """Whether `answer` meets every group of `question.expect`."""
    text = normalise(answer)
    return all(any(normalise(option) in text for option in group) for group in question.expect)


def cites_source(question: EvalQuestion, cited_names: list[str]) -> bool:
    """Whether a citation points to an acceptable document."""
    return bool(set(cited_names) & set(question.source))
