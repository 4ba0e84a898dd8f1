"""Answering one question: stand-alone question, retrieval, context, guarded generation, citations."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TypeVar

from voicehelper.config import RagSettings
from voicehelper.context import current_context
from voicehelper.documents.sentences import split_sentences
from voicehelper.errors import DeadlineExceeded, RateLimited, Unavailable
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatModel, ChatRequest
from voicehelper.ports.search import Scope
from voicehelper.rag.citations import Support, align, cite, spelled_out
from voicehelper.rag.context import build_context
from voicehelper.rag.events import (
    AnswerAlive,
    AnswerCitations,
    AnswerDelta,
    AnswerDone,
    AnswerEvent,
    AnswerStatus,
    Question,
)
from voicehelper.rag.evidence import weigh
from voicehelper.rag.guards import Guards
from voicehelper.rag.language import language_of
from voicehelper.rag.numbers import mentioned
from voicehelper.rag.prepared import Found, Key, Prepared, PreparedQuestions
from voicehelper.rag.prompt import build_prompt, stable_prefix
from voicehelper.rag.rewrite import MergeRewriter, Rewriter, Standalone, is_follow_up, recall
from voicehelper.rag.state import Answering
from voicehelper.retrieval.model import Retriever
from voicehelper.telemetry import get_logger, stage
from voicehelper.telemetry.metrics import ANSWERS, DEGRADED, STAGE_SECONDS

# An answer that ends within so many characters ("不能。", "No.") is judged before it is shown; a longer one's beginning
# waits for them: a few tokens, which the reader pays for.
_OPENING_CHARS = {"zh": 6, "en": 12}

_SIGN_OF_LIFE_S = 5.0  # while a question waits for the stable prefix to be read

log = get_logger(__name__)
T = TypeVar("T")


class Answerer:
    """Answers questions from a knowledge base, or says honestly that it cannot.

    Duties: run the stages in order within the request's deadline, stream, name what was skipped, time every stage. It
    holds no state between questions but what was prepared for one that is just being spoken.

    Args:
        retriever: finds passages.
        chat: writes the answer.
        settings: budgets.
        rewriter: makes follow-ups stand alone; by default without a model call.
        reads_ahead: the model is to read prompts of questions not yet asked: good where it remembers them, and is ours.
    """

    def __init__(
        self,
        retriever: Retriever,
        chat: ChatModel,
        settings: RagSettings | None = None,
        *,
        rewriter: Rewriter | None = None,
        reads_ahead: bool = True,
    ) -> None:
        self._retriever = retriever
        self._chat = chat
        self._settings = settings or RagSettings()
        self._rewriter = rewriter or MergeRewriter()
        self._reads_ahead = reads_ahead
        self._warm = asyncio.Event()
        self._warm.set()
        self._read_at = 0.0  # when the engine last showed that it reads the prefix
        self._prepared = PreparedQuestions()

    async def warm_up(self, slots: int = 1) -> None:
        """Let the engine read the stable prefix, so that no user waits for it.

        One request goes first: an engine that copies what it read to its other slots has then nothing left to read. A
        question that comes meanwhile waits for it, which is quicker than reading the same prefix twice side by side.
        """
        request = ChatRequest(stable_prefix(), max_tokens=1)
        self._warm.clear()
        try:
            await self._discard(request)
        finally:
            self._warm.set()
        await asyncio.gather(*(self._discard(request) for _ in range(slots - 1)))

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Statuses and deltas, then citations, then `AnswerDone`. Closing the generator stops the model.

        Raises `Unavailable` (search or model), `Overloaded`, and `DeadlineExceeded` when time ran out before the first
        word; a later deadline ends the answer early and says so in `degraded`.
        """
        run = Answering(question, language_of(question.text), Standalone(question.text))
        prepared = self._prepared.take(Key.of(question))
        self._prepared.begin()
        try:
            async with aclosing(self._answer(run, prepared)) as events:
                async for event in events:
                    yield event
        finally:
            self._prepared.end()
            if prepared is not None:
                prepared.stop_reading()

    async def prepare(self, question: Question) -> None:
        """See `QuestionAnswerer`."""
        run = Answering(question, language_of(question.text), Standalone(question.text))
        await self._prepared.prepare(Key.of(question), lambda: self._find_ahead(run), lambda _: self._read_ahead(run))

    async def _find_ahead(self, run: Answering) -> Found:
        async with aclosing(self._find(run, None)) as statuses:
            async for _ in statuses:
                pass
        if run.degraded:
            raise Unavailable("Not all was found")  # the question itself may find more
        return Found(run.standalone, run.context, dict(run.timings_ms))

    async def _read_ahead(self, run: Answering) -> None:
        if self._reads_ahead and not run.refused and self._warm.is_set():
            await self._discard(replace(self._request(run), max_tokens=1, feature="ahead"))

    async def _answer(self, run: Answering, prepared: Prepared | None) -> AsyncGenerator[AnswerEvent, None]:
        async with aclosing(self._find(run, prepared)) as statuses:
            async for status in statuses:
                yield status
        if run.refused:
            yield AnswerDelta(run.phrases.refusal)
        else:
            yield AnswerStatus("answering")
            async with aclosing(self._read(prepared)) as signs:
                async for sign in signs:
                    yield sign
            async with aclosing(self._generate(run)) as deltas:
                async for delta in deltas:
                    yield delta
        supports = _supports(run)
        supported = sum(bool(support.sources) for support in supports)
        if supports and not supported and not run.invented and _comparable(run, run.text):
            yield AnswerDelta(run.phrases.unsupported)
        yield AnswerCitations(cite(supports, run.context))
        yield _done(run, supported, len(supports))

    async def _find(self, run: Answering, prepared: Prepared | None) -> AsyncGenerator[AnswerStatus, None]:
        """Rewrite, retrieve, build the context, weigh it; or take what was found ahead."""
        question = run.question
        if prepared is not None:
            yield AnswerStatus("searching")
            with stage("rag.retrieve") as timed:
                found = await _in_time(prepared.found())
            if found is not None:
                run.standalone = (
                    replace(found.standalone, question=question.text)
                    if not found.standalone.rewritten
                    else found.standalone
                )
                run.context = found.context
                run.evidence = weigh(run.context, question.text)
                run.refused = not run.evidence.enough
                run.timings_ms |= {"retrieve": timed.ms, "ahead": sum(found.timings_ms.values())}
                return
        if question.history and is_follow_up(question.text):
            yield AnswerStatus("rewriting")
            await self._rewrite(run)
        run.standalone = recall(run.standalone, question.history, question.summary)
        yield AnswerStatus("searching")
        with stage("rag.retrieve") as timed:
            scope = Scope(question.tenant_id, question.kb_ids)
            retrieved = await _in_time(self._retriever.retrieve(scope, run.standalone.query))
        run.degraded += retrieved.degraded
        run.timings_ms |= {"retrieve": timed.ms, **retrieved.timings_ms}
        with stage("rag.context") as timed:
            focus = run.standalone.question if run.standalone.lead else ""
            run.context = build_context(run.standalone.query, retrieved.passages, self._settings.context_tokens, focus)
            run.evidence = weigh(run.context, question.text)
            run.refused = not run.evidence.enough
        run.timings_ms["context"] = timed.ms

    async def _rewrite(self, run: Answering) -> None:
        history = run.question.history[-self._settings.history_turns :]
        with stage("rag.rewrite") as timed:
            try:
                run.standalone = await self._rewriter.rewrite(run.question.text, history)
            except (Unavailable, RateLimited) as error:  # the question as it is still finds something
                log.warning("rag.rewrite_skipped", error=type(error).__name__)
                run.degraded.append("rewrite")
        run.timings_ms["rewrite"] = timed.ms

    async def _read(self, prepared: Prepared | None) -> AsyncGenerator[AnswerAlive, None]:
        """Wait for what the model already reads for this very question: side by side it would read the same twice."""
        while prepared is not None and not prepared.read and prepared.reading is not None:
            await _in_time(asyncio.wait({prepared.reading}, timeout=_SIGN_OF_LIFE_S))
            if not prepared.read:
                yield AnswerAlive()

    async def _warmed(self) -> AsyncGenerator[AnswerAlive, None]:
        """Wait for the stable prefix, with a sign of life as long as the engine gives one."""
        while not self._warm.is_set():
            waited_from = time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(_in_time(self._warm.wait()), _SIGN_OF_LIFE_S)
            if self._read_at > waited_from:
                yield AnswerAlive()

    async def _generate(self, run: Answering) -> AsyncGenerator[AnswerDelta | AnswerAlive, None]:
        """The model's answer through the guards, and what we have to say about it."""
        guards, opening = Guards(_known_numbers(run)), ""
        async with aclosing(self._warmed()) as signs:
            async for sign in signs:
                yield sign
        async with aclosing(self._stream(run)) as pieces:
            async for piece in pieces:
                if isinstance(piece, AnswerAlive):
                    yield piece
                    continue
                opening += guards.feed(piece)
                if run.text or len(opening) > _OPENING_CHARS[run.language]:
                    if opening:
                        yield _said(run, opening)
                    opening = ""
                if guards.over:
                    break
        if opening := _judged(run, opening + guards.finish()):
            yield _said(run, opening)
        if more := spelled_out(run.text, run.context, run.standalone.query):
            yield _said(run, more)
        run.invented = guards.invented
        if not run.text.strip():
            run.refused = True
            yield AnswerDelta(run.phrases.refusal)
        elif run.invented:
            run.refused = not any(support.sources for support in _supports(run))
            yield AnswerDelta(run.phrases.withdrawn)

    async def _stream(self, run: Answering) -> AsyncGenerator[str | AnswerAlive, None]:
        """The model's raw text and signs of life; fills in `finish`, `usage` and the first token's time."""
        async with aclosing(self._chat.stream(self._request(run))) as events:  # type: ignore[type-var]
            while True:
                try:
                    event = await _in_time(anext(events))
                except DeadlineExceeded:
                    if not run.text:
                        raise
                    run.finish = "deadline"
                    run.degraded.append("answer")
                    return
                if isinstance(event, ChatDone):
                    run.finish, run.usage, run.model = event.finish_reason, event.usage, event.model
                    run.route = event.route
                    return
                if not isinstance(event, ChatDelta):
                    yield AnswerAlive()
                    continue
                if "first_token" not in run.timings_ms:
                    run.timings_ms["first_token"] = run.elapsed_ms()
                yield event.text

    def _request(self, run: Answering) -> ChatRequest:
        settings = self._settings
        messages = build_prompt(run.standalone, run.context.render(), run.language, settings.history_tokens)
        return ChatRequest(messages, max_tokens=settings.max_answer_tokens, feature="answer")

    async def _discard(self, request: ChatRequest) -> None:
        async with aclosing(self._chat.stream(request)) as events:  # type: ignore[type-var]
            async for _ in events:
                self._read_at = time.monotonic()


async def _in_time(step: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(current_context().remaining()):
            return await step
    except TimeoutError as error:
        raise DeadlineExceeded from error


def _said(run: Answering, text: str) -> AnswerDelta:
    run.text += text
    return AnswerDelta(text)


def _known_numbers(run: Answering) -> frozenset[str]:
    """Numbers the answer may state: those of the question and of the context with its headings."""
    return mentioned("\n".join([run.question.text, run.standalone.question, run.context.render()]))


def _supports(run: Answering) -> list[Support]:
    """The support of each sentence the reader has seen whole; none for a refusal."""
    if run.refused:
        return []
    spans = split_sentences(run.text)
    whole = spans[:-1] if run.invented else spans
    return align(run.text, whole, run.context, run.standalone.query)


def _judged(run: Answering, rest: str) -> str:
    """What of the rest may be shown: an answer that is over before any of it was shown can still be taken back."""
    if run.text or not _comparable(run, rest):
        return rest
    supports = align(rest, split_sentences(rest), run.context, run.standalone.query)
    return rest if any(support.sources for support in supports) else ""


def _comparable(run: Answering, text: str) -> bool:
    """Whether some source is in the answer's language: words of another cannot show what an answer rests on."""
    language = language_of(text)
    return any(language_of(sentence.text) == language for sentence in run.context.shown())


def _done(run: Answering, supported: int, sentences: int) -> AnswerDone:
    outcome = "refused" if run.refused else "answered"
    run.timings_ms["total"] = run.elapsed_ms()
    ANSWERS.labels(outcome).inc()
    for name in run.degraded:
        DEGRADED.labels(name).inc()
    if "first_token" in run.timings_ms:
        STAGE_SECONDS.labels("rag.first_token").observe(run.timings_ms["first_token"] / 1000)
    return AnswerDone(
        outcome=outcome,
        usage=run.usage,
        model=run.model,
        degraded=tuple(dict.fromkeys(run.degraded)),
        timings_ms={name: round(ms, 2) for name, ms in run.timings_ms.items()},
        trace=run.trace(supported, sentences),
        route=run.route,
    )
