"""Questions over the sample knowledge base through the real model: right, cited right, refused right.

    python -m benchmarks.eval_answers [--only tune|held-out|q01,q07] [--fresh] [--ask QUESTION]...
                                      [--model NAME] [--context TOKENS] [--json FILE]

By default the 40 of `tests/data/questions.yaml`; `--fresh` adds the 12 that nobody has tuned on, `--ask` asks one's own
(for reading only, not judged).

Everything runs in this process, without Ray and databases (see knowledge_rig.py); models must have been pulled. A
question counts as right when every expected string is in the answer, as cited right when a citation points to an
acceptable document, as refused right when the outcome is a refusal.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actors.chat import build_chat_model
from benchmarks.knowledge_rig import KB, TENANT, open_knowledge
from tests.fakes.question_set import FRESH, EvalQuestion, cites_source, holds_expected, load_questions
from voicehelper.config import ChatSettings, RagSettings, Settings
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, PastTurn, Question

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Result:
    """One question, what came back and the verdicts (None where they do not apply)."""

    id: str
    question: str
    answer: str = ""
    outcome: str = ""
    right: bool | None = None
    cited: bool | None = None
    refused: bool | None = None
    context_holds: bool | None = None
    citations: list[tuple[str, str, float]] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
    trace: dict[str, Any] = field(default_factory=dict)
    tokens: tuple[int, int, int] = (0, 0, 0)


async def ask(answerer: Answerer, question: EvalQuestion) -> Result:
    history = tuple(PastTurn(turn.question, turn.answer) for turn in question.history)
    result = Result(question.id, question.question)
    async with aclosing(answerer.answer(Question(question.question, TENANT, (KB,), history))) as events:
        async for event in events:
            if isinstance(event, AnswerDelta):
                result.answer += event.text
            elif isinstance(event, AnswerCitations):
                result.citations = [(c.document_name, c.quote, c.score) for c in event.citations]
            elif isinstance(event, AnswerDone):
                result.outcome, result.timings_ms, result.trace = event.outcome, event.timings_ms, event.trace
                result.tokens = (event.usage.prompt_tokens, event.usage.cached_tokens, event.usage.completion_tokens)
    return judge(question, result)


def judge(question: EvalQuestion, result: Result) -> Result:
    refused = result.outcome == "refused"
    if question.answerable:
        result.right = not refused and holds_expected(question, result.answer)
        result.cited = not refused and cites_source(question, [name for name, _, _ in result.citations])
        result.context_holds = holds_expected(question, str(result.trace.get("context", "")))
    else:
        result.refused = refused
    return result


def report(title: str, results: list[Result]) -> None:
    answerable = [result for result in results if result.right is not None]
    unanswerable = [result for result in results if result.refused is not None]
    print(f"\n{title}, load average {os.getloadavg()[0]:.1f}")
    print(f"right        {sum(bool(r.right) for r in answerable)}/{len(answerable)}")
    print(f"cited right  {sum(bool(r.cited) for r in answerable)}/{len(answerable)}")
    print(f"refused right {sum(bool(r.refused) for r in unanswerable)}/{len(unanswerable)}")
    print(f"wrong refusals {sum(r.outcome == 'refused' for r in answerable)}, ", end="")
    print(f"context held the answer {sum(bool(r.context_holds) for r in answerable)}/{len(answerable)}")
    for stage in ("first_token", "total"):
        times = [r.timings_ms[stage] / 1000 for r in results if "first_token" in r.timings_ms]
        if times:
            print(f"{stage}: p50 {statistics.median(times):.2f} s, max {max(times):.2f} s ({len(times)} generated)")


def show(result: Result) -> None:
    marks = {"right": result.right, "cited": result.cited, "refused": result.refused}
    verdict = " ".join(f"{name}={'yes' if value else 'NO'}" for name, value in marks.items() if value is not None)
    first = result.timings_ms.get("first_token", 0) / 1000
    print(f"{result.id} {verdict} ({first:.1f}s, tokens {result.tokens})  {result.question}\n    {result.answer}")
    if not all(value in (True, None) for value in marks.values()):
        print("    query   ", result.trace.get("query"), result.trace.get("evidence"))
        print("    context ", str(result.trace.get("context")).replace("\n", "\n             "))
        print("    cited   ", result.citations, "invented", result.trace.get("invented_numbers"))
    sys.stdout.flush()


def selected(only: str) -> list[EvalQuestion]:
    questions = [*load_questions(), *load_questions(FRESH)] if "q" in only else load_questions()
    if only in ("tune", "held-out"):
        return [question for question in questions if question.held_out == (only == "held-out")]
    return [question for question in questions if not only or question.id in only.split(",")]


def _sets(only: str, fresh: bool, own: list[str]) -> list[tuple[str, list[EvalQuestion]]]:
    sets = [] if own and not only else [(only or "the 40", selected(only))]
    if fresh:
        sets.append(("fresh", load_questions(FRESH)))
    if own:
        asked = [EvalQuestion(f"own{n}", "", text, True, (), ()) for n, text in enumerate(own, start=1)]
        sets.append(("", asked))
    return sets


async def _asked(answerer: Answerer, question: EvalQuestion) -> Result:
    result = await ask(answerer, question)
    show(result)
    return result


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--ask", action="append", default=[])
    parser.add_argument("--model", default=ChatSettings().model)
    parser.add_argument("--context", type=int, default=RagSettings().context_tokens)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    settings = Settings(chat=ChatSettings(model=args.model, parallel=1), rag=RagSettings(context_tokens=args.context))
    retriever, _, _ = await open_knowledge(ROOT / "examples" / "knowledge", settings)
    answerer = Answerer(retriever, build_chat_model(settings), settings.rag)
    started = time.monotonic()
    await answerer.warm_up()
    print(f"prefix read in {time.monotonic() - started:.1f} s")
    results = []
    for title, questions in _sets(args.only, args.fresh, args.ask):
        results += (asked := [await _asked(answerer, question) for question in questions])
        if title:
            report(title, asked)
    if args.json:
        args.json.write_text(json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
