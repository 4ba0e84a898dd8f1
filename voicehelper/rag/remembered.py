"""Answers given before. The same question, in the same tenant, about the same documents, is answered at once.

Only a question that needs nothing of its conversation can be answered so, and only until any document of the knowledge
bases it was asked of changes. What is remembered lies under a digest; the question itself is not kept.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.rag.events import (
    AnswerCitations,
    AnswerDelta,
    AnswerDone,
    AnswerEvent,
    AnswerStatus,
    Citation,
    Question,
)
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.rag.prepared import normalised
from voicehelper.rag.rewrite import is_follow_up, reaches_back
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

Which = Literal["spoken", "all", "off"]


@dataclass(frozen=True, slots=True)
class RememberedAnswer:
    """An answer and the state of the documents it rests on."""

    revision: str
    text: str
    citations: tuple[Citation, ...]
    model: str
    trace: dict[str, Any] = field(default_factory=dict)


class AnswerMemory(Protocol):
    """Where answers are remembered. Both raise `Unavailable`."""

    async def get(self, tenant_id: UUID, digest: str) -> RememberedAnswer | None:
        """The answer, if it is there."""
        ...

    async def put(self, tenant_id: UUID, digest: str, answer: RememberedAnswer) -> None:
        """Keep it for a while."""
        ...


class Revisions(Protocol):
    """The state of documents."""

    async def revision(self, tenant_id: UUID, kb_ids: Sequence[UUID]) -> str:
        """Another one whenever what can be found in these bases has changed. Raises `Unavailable`."""
        ...


class RememberingAnswerer:
    """`QuestionAnswerer` with a memory. What goes wrong with the memory costs nothing but time.

    Args:
        answerer: answers what is not remembered.
        memory: of answers.
        revisions: of documents.
        which: questions that may be answered from memory.
        manner: what else an answer depends on: the model, the prompt.
    """

    def __init__(
        self, answerer: QuestionAnswerer, memory: AnswerMemory, revisions: Revisions, which: Which, manner: str = ""
    ) -> None:
        self._answerer = answerer
        self._memory = memory
        self._revisions = revisions
        self._which = which
        self._manner = manner
        self._writes: set[asyncio.Task[None]] = set()

    async def prepare(self, question: Question) -> None:
        """See `QuestionAnswerer`. What is remembered needs no preparation."""
        if await self._known(question) is None:
            await self._answerer.prepare(question)

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """See `QuestionAnswerer`. From memory: one delta, and `remembered` in the last event."""
        began = time.perf_counter()
        known = await self._known(question)
        if known is not None:
            metrics.REMEMBERED.labels("used").inc()
            yield AnswerStatus("answering")
            yield AnswerDelta(known.text)
            yield AnswerCitations(known.citations)
            timings = {"total": round((time.perf_counter() - began) * 1000, 2)}
            yield AnswerDone("answered", model=known.model, timings_ms=timings, trace=known.trace, remembered=True)
            return
        async with aclosing(self._answer_anew(question)) as events:
            async for event in events:
                yield event

    async def _answer_anew(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        revision = asyncio.ensure_future(self._revision(question)) if self._remembers(question) else None
        parts: list[str] = []
        citations: tuple[Citation, ...] = ()
        try:
            async with aclosing(self._answerer.answer(question)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, AnswerDelta):
                        parts.append(event.text)
                    elif isinstance(event, AnswerCitations):
                        citations = event.citations
                    elif isinstance(event, AnswerDone) and revision is not None and citations and _whole(event):
                        text, before = "".join(parts), await revision
                        if before:
                            answer = RememberedAnswer(before, text, citations, event.model, event.trace)
                            self._remember(question, answer)
                    yield event
        finally:
            if revision is not None:
                revision.cancel()

    async def _known(self, question: Question) -> RememberedAnswer | None:
        """The answer, if it is remembered and still true."""
        if not self._remembers(question) or question.fresh or not (question.spoken or self._which == "all"):
            return None
        try:
            answer = await self._memory.get(question.tenant_id, self._digest(question))
            if answer is None or answer.revision != await self._revision(question):
                metrics.REMEMBERED.labels("unknown" if answer is None else "outdated").inc()
                return None
        except Unavailable:
            return None
        return answer

    def _remembers(self, question: Question) -> bool:
        """Whether the question means the same whatever was said before it."""
        if self._which == "off":
            return False
        if not question.history and not question.summary:
            return True
        return not is_follow_up(question.text) and not reaches_back(question.text, question.history)

    async def _revision(self, question: Question) -> str:
        """Empty where it cannot be told."""
        try:
            return await self._revisions.revision(question.tenant_id, question.kb_ids)
        except Unavailable:
            return ""

    def _remember(self, question: Question, answer: RememberedAnswer) -> None:
        """In the background: nobody waits for it."""
        task = asyncio.create_task(self._write(question.tenant_id, self._digest(question), answer))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, tenant_id: UUID, digest: str, answer: RememberedAnswer) -> None:
        try:
            await self._memory.put(tenant_id, digest, answer)
        except Unavailable:
            log.debug("rag.not_remembered")

    def _digest(self, question: Question) -> str:
        parts = [self._manner, *sorted(map(str, question.kb_ids)), normalised(question.text)]
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def _whole(done: AnswerDone) -> bool:
    """Whether the answer is one to give again: complete, with everything that could be searched, nothing taken back."""
    trace = done.trace
    return (
        done.outcome == "answered"
        and not done.degraded
        and trace.get("finish") == "stop"
        and not trace.get("invented_numbers")
        and not trace.get("unsupported")
    )
