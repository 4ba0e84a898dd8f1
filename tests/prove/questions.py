"""Point 5: the forty questions, asked over HTTP as a user would, judged by `tests/fakes/question_set.py`."""

from collections import Counter
from typing import Any

import httpx

from tests.fakes.question_set import EvalQuestion, cites_source, holds_expected, load_questions
from tests.prove.server import Server

WANTED_RIGHT = 0.75  # share of all forty; the product's present standing, not its ambition


def run(server: Server) -> tuple[str, bool]:
    """The figures in one line, and whether enough were right."""
    counts: Counter[str] = Counter()
    wrong = []
    with server.api() as api:
        for question in load_questions():
            verdict = _judge(question, _ask(api, question))
            counts.update(verdict)
            if "right" not in verdict:
                wrong.append(question.id)
    answerable = sum(question.answerable for question in load_questions())
    total = len(load_questions())
    figure = (
        f"{counts['right']}/{total} right (answered {counts['answered right']}/{answerable},"
        f" cited {counts['cited right']}/{answerable}, refused {counts['refused right']}/{total - answerable});"
        f" wrong: {' '.join(wrong) or 'none'}"
    )
    return figure, counts["right"] / total >= WANTED_RIGHT


def _ask(api: httpx.Client, question: EvalQuestion) -> dict[str, Any]:
    """The answer message. Earlier turns are asked for real: the follow-up stands on the model's own answers."""
    conversation = api.post("/api/v1/conversations", json={"knowledge_bases": ["sample"]}).json()["id"]
    for content in [*(turn.question for turn in question.history), question.question]:
        response = api.post(f"/api/v1/conversations/{conversation}/messages", json={"content": content})
        response.raise_for_status()
    answer: dict[str, Any] = response.json()["answer"]
    return answer


def _judge(question: EvalQuestion, answer: dict[str, Any]) -> set[str]:
    refused = answer["metadata"].get("outcome") == "refused"
    if not question.answerable:
        return {"right", "refused right"} if refused else set()
    verdict = set()
    if not refused and holds_expected(question, answer["content"]):
        verdict.add("answered right")
    if cites_source(question, [citation["document_name"].rsplit("/", 1)[-1] for citation in answer["citations"]]):
        verdict.add("cited right")
    return verdict | {"right"} if len(verdict) == 2 else verdict
