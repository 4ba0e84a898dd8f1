"""The sample knowledge base and the questions over it belong together."""

import re
from pathlib import Path

import pytest

from tests.fakes.question_set import FRESH, EvalQuestion, load_questions, normalise
from voicehelper.documents.model import ParsedDocument
from voicehelper.documents.parsers import parse_document

KNOWLEDGE = Path(__file__).resolve().parents[3] / "examples" / "knowledge"
QUESTIONS = load_questions()
FRESH_QUESTIONS = load_questions(FRESH)


@pytest.fixture(scope="module")
def documents() -> dict[str, ParsedDocument]:
    return {path.name: parse_document(path.read_bytes(), path.name) for path in sorted(KNOWLEDGE.iterdir())}


def test_the_set_is_split_evenly() -> None:
    assert [question.id for question in QUESTIONS] == [f"q{number:02}" for number in range(1, 41)]
    for half in (QUESTIONS[:20], QUESTIONS[20:]):
        assert sum(not question.answerable for question in half) == 5
        assert sum(question.lang == "en" for question in half) >= 3
        assert sum(question.lang == "zh-Hant" for question in half) >= 1
        assert sum(bool(question.history) for question in half) >= 3


def test_the_fresh_set_is_mixed() -> None:
    assert [question.id for question in FRESH_QUESTIONS] == [f"q{number}" for number in range(41, 53)]
    assert sum(not question.answerable for question in FRESH_QUESTIONS) == 4
    assert {question.lang for question in FRESH_QUESTIONS} == {"zh", "zh-Hant", "en"}


@pytest.mark.parametrize("question", QUESTIONS + FRESH_QUESTIONS, ids=lambda question: question.id)
def test_expected_strings_stand_in_the_sources(question: EvalQuestion, documents: dict[str, ParsedDocument]) -> None:
    assert bool(question.source) == bool(question.expect) == question.answerable
    text = normalise("\n".join(documents[name].text for name in question.source))
    for group in question.expect:
        assert any(normalise(option) in text for option in group), group


def test_expected_strings_are_strings() -> None:
    assert not any("1260" in group for question in QUESTIONS for group in question.expect)  # YAML 1.1 reads 21:00 so


def test_every_document_parses_with_title_and_headings(documents: dict[str, ParsedDocument]) -> None:
    assert len(documents) >= 30
    assert {Path(name).suffix for name in documents} == {".md", ".pdf", ".docx", ".html"}
    for name, document in documents.items():
        assert document.title, name
        assert sum(block.level > 0 for block in document.blocks) >= 4, name
        assert "tracker" not in document.text, name
        assert (document.page_count is not None) == name.endswith(".pdf"), name


@pytest.mark.parametrize("source", sorted((KNOWLEDGE.parent / "sources").glob("*.md")), ids=lambda path: path.stem)
def test_made_documents_hold_the_text_of_their_source(source: Path, documents: dict[str, ParsedDocument]) -> None:
    kind = re.match(r"---\nformat: (\w+)", source.read_text()).group(1)
    made = documents[f"{source.stem}.{kind}"]
    marks = re.compile(r"[|\s：:，,•-]|^\d+\.", re.MULTILINE)
    expected = [marks.sub("", block.text) for block in parse_document(source.read_bytes(), source.name).blocks]
    if kind == "pdf":
        assert "".join(marks.sub("", block.text) for block in made.blocks) == "".join(expected)
    else:
        assert [marks.sub("", block.text) for block in made.blocks] == expected
