"""Answers given before: at once, for the same question, until a document changes."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from voicehelper.errors import Unavailable
from voicehelper.rag.events import (
    AnswerCitations,
    AnswerDelta,
    AnswerDone,
    AnswerStatus,
    Citation,
    PastTurn,
    Question,
)
from voicehelper.rag.port import FakeAnswerer
from voicehelper.rag.remembered import RememberingAnswerer

CITATION = Citation(1, 0, 6, uuid4(), uuid4(), "a.md", None, (), "q", 0.5)
TRACE = {"finish": "stop", "unsupported": False, "invented_numbers": []}
EVENTS = (
    AnswerStatus("searching"),
    AnswerStatus("answering"),
    AnswerDelta("七天内"),
    AnswerDelta("可退。"),
    AnswerCitations((CITATION,)),
    AnswerDone("answered", model="m", trace=TRACE),
)
ASKED = Question("怎么退货？", UUID(int=1), (UUID(int=7),), spoken=True)


class FakeMemory:
    def __init__(self):
        self.kept, self.away = {}, False

    async def get(self, tenant_id, digest):
        if self.away:
            raise Unavailable
        return self.kept.get((tenant_id, digest))

    async def put(self, tenant_id, digest, answer):
        if self.away:
            raise Unavailable
        self.kept[tenant_id, digest] = answer


class FakeRevisions:
    now = "1"

    async def revision(self, tenant_id, kb_ids):
        return self.now


def parts(which="spoken", events=EVENTS):
    memory, revisions, inner = FakeMemory(), FakeRevisions(), FakeAnswerer(events)
    return RememberingAnswerer(inner, memory, revisions, which), inner, memory, revisions


async def run(answerer, question=ASKED):
    events = [event async for event in answerer.answer(question)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return events


async def test_a_known_answer_comes_at_once_with_its_citations_and_says_so():
    answerer, inner, _, _ = parts()
    assert await run(answerer) == list(EVENTS)
    again = await run(answerer, replace(ASKED, text="嗯，怎么退货呢"))
    assert len(inner.questions) == 1
    assert again[1] == AnswerDelta("七天内可退。")
    assert again[2] == AnswerCitations((CITATION,))
    assert again[-1].remembered
    assert again[-1].outcome == "answered"
    assert again[-1].usage.completion_tokens == 0
    await answerer.prepare(ASKED)
    assert inner.prepared == []


async def test_a_changed_document_ends_it():
    answerer, inner, _, revisions = parts()
    await run(answerer)
    revisions.now = "2"
    assert not (await run(answerer))[-1].remembered
    assert len(inner.questions) == 2
    assert (await run(answerer))[-1].remembered


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, tenant_id=UUID(int=2)),
        replace(ASKED, kb_ids=(UUID(int=7), UUID(int=8))),
        replace(ASKED, text="怎么退款？"),
        replace(ASKED, fresh=True),
        replace(ASKED, spoken=False),
    ],
)
async def test_others_are_answered_anew(other):
    answerer, inner, _, _ = parts()
    await run(answerer)
    assert not (await run(answerer, other))[-1].remembered
    assert len(inner.questions) == 2


async def test_a_question_that_leans_on_the_conversation_is_answered_anew():
    answerer, inner, memory, _ = parts()
    history = (PastTurn("运费谁出？", "您出。"),)
    leaning = replace(ASKED, text="那它呢？", history=history)
    await run(answerer, leaning)
    await run(answerer, leaning)
    assert len(inner.questions) == 2
    assert memory.kept == {}
    await run(answerer)
    assert (await run(answerer, replace(ASKED, history=history)))[-1].remembered


@pytest.mark.parametrize(
    "done",
    [
        AnswerDone("refused", trace=TRACE),
        AnswerDone("answered", degraded=("dense",), trace=TRACE),
        AnswerDone("answered", trace={**TRACE, "finish": "length"}),
        AnswerDone("answered", trace={**TRACE, "unsupported": True}),
        AnswerDone("answered", trace={**TRACE, "invented_numbers": ["3"]}),
    ],
)
async def test_only_good_answers_are_remembered(done):
    answerer, inner, _, _ = parts(events=(*EVENTS[:-1], done))
    await run(answerer)
    await run(answerer)
    assert len(inner.questions) == 2


async def test_all_questions_or_none_by_setting():
    for which, times in (("all", 1), ("off", 2)):
        answerer, inner, _, _ = parts(which)
        await run(answerer, replace(ASKED, spoken=False))
        await run(answerer, replace(ASKED, spoken=False))
        assert len(inner.questions) == times


async def test_without_its_memory_it_answers_all_the_same():
    answerer, inner, memory, _ = parts()
    memory.away = True
    await run(answerer)
    assert await run(answerer) == list(EVENTS)
    assert len(inner.questions) == 2
