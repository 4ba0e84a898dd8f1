"""The one way a question gets its answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import UUID

from voicehelper.conversations.draft import Draft
from voicehelper.conversations.leases import LEASE_S, Leases
from voicehelper.conversations.model import (
    ConversationRepository,
    Ending,
    KnowledgeScopes,
    Message,
    Owner,
    Turn,
    TurnCompleted,
    TurnEvent,
    TurnRepository,
    TurnStarted,
)
from voicehelper.errors import DeadlineExceeded, NotFound, Unavailable
from voicehelper.ports.clock import Clock
from voicehelper.rag.events import AnswerEvent, Question
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

_STORE_RETRIES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # outlasts a restart of the database


class AnswerService:
    """Asks and answers. `start` and `stop` bracket its background work."""

    def __init__(
        self,
        conversations: ConversationRepository,
        turns: TurnRepository,
        answerer: QuestionAnswerer,
        scopes: KnowledgeScopes,
        clock: Clock,
        *,
        history_turns: int = 10,
        answer_timeout_s: float = 120.0,
        lease_s: float = LEASE_S,
    ) -> None:
        self._conversations = conversations
        self._turns = turns
        self._answerer = answerer
        self._scopes = scopes
        self._clock = clock
        self._history_turns = history_turns
        self._answer_timeout_s = answer_timeout_s
        self._leases = Leases(turns, clock, lease_s)
        self._storing: set[asyncio.Task[Message | None]] = set()

    async def start(self) -> None:
        """Begin to tend leases; answers of processes that died before are marked failed at once."""
        self._leases.start()

    async def stop(self) -> None:
        """End the background work after the endings being stored."""
        if self._storing:
            await asyncio.wait(self._storing)
        await self._leases.stop()

    async def send(
        self, owner: Owner, conversation_id: UUID, content: str, references: Sequence[str] | None = None
    ) -> AsyncGenerator[TurnEvent, None]:
        """Ask `content`; yields `TurnStarted`, the answerer's events, `TurnCompleted`.

        The question is stored before anything else happens. Whatever ends the stream, the answer's row says how:
        `completed`; `failed` (an error, which is raised on); `stopped` (this generator was closed or its task
        cancelled, which also stops the model).

        Args:
            owner: who asks.
            conversation_id: where.
            content: the question.
            references: knowledge bases by id or name, instead of the conversation's own.

        Raises:
            NotFound: no such conversation or knowledge base.
            ConversationBusy: the previous question is still being answered.
            DeadlineExceeded: the answer took too long.
            VoiceHelperError: whatever the answerer raises.
        """
        kb_ids = await self._scope(owner, conversation_id, references)
        turn = await self._turns.begin_turn(owner, conversation_id, content, self._leases.lease_s, self._history_turns)
        draft = Draft(turn.answer.id)
        question = Question(content, owner.tenant_id, kb_ids, turn.history)
        with self._leases.hold(draft):
            try:
                yield TurnStarted(turn)
                async with aclosing(self._events(question)) as events:
                    async for event in events:
                        draft.take(event)
                        yield event
                ending = draft.completed()
            except (asyncio.CancelledError, GeneratorExit):
                await self._store(turn, draft.stopped())
                raise
            except Exception as error:  # whatever it is, the row must not stay `streaming`; raised on
                await self._store(turn, draft.failed(error))
                raise
            answer = await self._store(turn, ending)
        if answer is None:
            raise NotFound("The conversation was deleted")
        yield TurnCompleted(answer)

    async def _scope(self, owner: Owner, conversation_id: UUID, references: Sequence[str] | None) -> tuple[UUID, ...]:
        conversation = await self._conversations.get(owner, conversation_id)
        if references is None and conversation.kb_ids:
            return conversation.kb_ids
        return await self._scopes.resolve(owner.tenant_id, references or ())

    async def _events(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The answerer's events, none awaited beyond the answer's deadline."""
        deadline = asyncio.get_running_loop().time() + self._answer_timeout_s
        events = self._answerer.answer(question)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline) as limit:
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if limit.expired():
                        raise DeadlineExceeded("The answer took too long") from error
                    raise
                yield event
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    async def _store(self, turn: Turn, ending: Ending) -> Message | None:
        """Store the ending in a task of its own: a client that leaves does not take it along."""
        task = asyncio.create_task(self._store_patiently(turn, ending))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
        metrics.ANSWERS.labels(ending.metadata.get("outcome", ending.status)).inc()
        return await asyncio.shield(task)

    async def _store_patiently(self, turn: Turn, ending: Ending) -> Message | None:
        for wait in _STORE_RETRIES_S:
            try:
                return await self._turns.finish(turn.answer.id, ending)
            except Unavailable as error:
                log.warning("answer.not_stored_yet", message_id=str(turn.answer.id), reason=error.message)
                await self._clock.sleep(wait)
        return await self._turns.finish(turn.answer.id, ending)
