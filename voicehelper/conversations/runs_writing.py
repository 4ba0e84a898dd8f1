"""Writes an answer: asks the answerer, keeps time, stores the end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import UUID

from voicehelper.conversations.context import ContextWindow, Window
from voicehelper.conversations.live_views import ended_frame, failure_of
from voicehelper.conversations.model import KnowledgeScopes, Message
from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.turns import ASKED, LEFT, Ending, TurnRepository
from voicehelper.errors import DeadlineExceeded, NotFound, Unavailable, VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.rag.events import AnswerAlive, AnswerEvent, PastTurn, Question
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_STORE_RETRIES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # outlasts a restart of the database


class AnswerWriter:
    """The saga of a question that was stored: answered, or compensated. Holds no state between answers.

    Args:
        turns: where the end is stored.
        answerer: asks the model.
        scopes: which knowledge bases there are.
        window: the conversation before the question.
        answer_timeout_s: most seconds of an answer.
        saga_s: most seconds between two events of the answerer.
    """

    def __init__(
        self,
        turns: TurnRepository,
        answerer: QuestionAnswerer,
        scopes: KnowledgeScopes,
        window: ContextWindow,
        clock: Clock,
        *,
        answer_timeout_s: float,
        saga_s: float,
    ) -> None:
        self._turns = turns
        self._answerer = answerer
        self._scopes = scopes
        self._window = window
        self._clock = clock
        self.answer_timeout_s = answer_timeout_s
        self.saga_s = saga_s

    async def write(self, run: AnswerRun, kb_ids: Sequence[UUID]) -> None:
        """Write `run` to its end, whatever that is; nothing is raised. `kb_ids` are searched; none: all."""
        window = Window(run.turn.question.seq - 1)
        stored: Message | None = None
        try:
            loading = asyncio.create_task(self._load(run))
            model = asyncio.create_task(self._draft(run, loading, tuple(kb_ids)))
            run.begin(model, self.saga_s)
            ending, error = await model
            if loading.done() and not loading.cancelled() and loading.exception() is None:
                window = loading.result()
            if run.reason != "superseded":
                stored = await self._store(run, ending)
            run.end(None if stored is None else _last_frame(stored, ending, error))
        except VoiceHelperError as failure:  # it could not be stored, or is stored nowhere any more
            run.end(("error", failure_of(failure)))
        finally:
            if not run.over:  # a mistake of ours: nobody shall wait for it
                run.end(("error", failure_of(VoiceHelperError())))
        if stored is not None:
            await self._note(run, window, stored)

    async def _draft(
        self, run: AnswerRun, loading: "asyncio.Task[Window]", kb_ids: tuple[UUID, ...]
    ) -> tuple[Ending, Exception | None]:
        """The answer's end, and the error that brought it."""
        try:
            question = await self._question(run, loading, kb_ids)
            async with aclosing(self._events(run, question)) as events:
                async for event in events:
                    run.take(event)
            return run.draft.completed(), None
        except asyncio.CancelledError:
            if run.reason is None:
                raise
            return _cut_off(run)
        except Exception as error:
            if not isinstance(error, VoiceHelperError):
                log.error("answer.crashed", error=type(error).__name__, exc_info=error)
            return run.draft.failed(error, failure_of(error)), error
        finally:
            loading.cancel()

    async def _question(self, run: AnswerRun, loading: "asyncio.Task[Window]", kb_ids: tuple[UUID, ...]) -> Question:
        turn = run.turn
        if not kb_ids:
            kb_ids = await self._scopes.resolve(turn.owner.tenant_id, ())
        window = await loading
        spoken, fresh = "speech" in turn.question.metadata, turn.attempt > 1
        before = (window.history, window.summary)
        return Question(turn.question.content, turn.owner.tenant_id, kb_ids, *before, spoken=spoken, fresh=fresh)

    async def _load(self, run: AnswerRun) -> Window:
        question = run.turn.question
        tenant_id = run.turn.owner.tenant_id
        return await self._window.load(tenant_id, question.conversation_id, question.seq, run.turn.before)

    async def _events(self, run: AnswerRun, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The answerer's events, none awaited beyond the answer's deadline or the saga's."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.answer_timeout_s
        events = self._answerer.answer(question)
        try:
            while True:
                run.progress(self.saga_s)
                try:
                    async with asyncio.timeout_at(min(deadline, run.silent_at)) as limit:
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if limit.expired():
                        raise DeadlineExceeded("The answer took too long") from error
                    raise
                if not isinstance(event, AnswerAlive):
                    yield event
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    async def _store(self, run: AnswerRun, ending: Ending) -> Message | None:
        metrics.ANSWERS.labels(ending.metadata.get("outcome", ending.status)).inc()
        for wait in _STORE_RETRIES_S:
            try:
                return await self._finish(run, ending)
            except Unavailable as error:
                log.warning("answer.not_stored_yet", message_id=str(run.id), reason=error.message)
                await self._clock.sleep(wait)
        return await self._finish(run, ending)

    async def _finish(self, run: AnswerRun, ending: Ending) -> Message | None:
        try:
            return await self._turns.finish(run.turn, run.run_id, ending)
        except NotFound as error:
            raise NotFound("The conversation was deleted") from error

    async def _note(self, run: AnswerRun, window: Window, answer: Message) -> None:
        question = run.turn.question
        turn = PastTurn(question.content, answer.content) if answer.status == "completed" else None
        tenant_id, reached = run.turn.owner.tenant_id, (answer.seq, run.turn.attempt)
        await self._window.note(tenant_id, question.conversation_id, window, reached, turn)


def _cut_off(run: AnswerRun) -> tuple[Ending, Exception | None]:
    """What becomes of an answer that was cancelled."""
    if run.reason == "shutdown":  # as if the process had died, only sooner: the same request sent again takes over
        error = Unavailable("The server is restarting", retry_after=1.0)
        return run.draft.failed(error, failure_of(error)), error
    if run.draft.done is not None:
        return run.draft.completed(), None
    return run.draft.stopped(LEFT if run.reason == "left" else ASKED), None


def _last_frame(stored: Message, ending: Ending, error: Exception | None) -> tuple[str, str]:
    if error is not None:
        return "error", ending.failure or failure_of(error)
    return ended_frame(stored)
