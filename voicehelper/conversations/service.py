"""The one way a question gets its answer."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from voicehelper.context import RequestContext, current_context, use_context
from voicehelper.conversations.context import ContextWindow
from voicehelper.conversations.leases import LEASE_S, Leases
from voicehelper.conversations.live import START, LiveEvent, LiveLog, Mark, Signal, Thread
from voicehelper.conversations.live_following import Follower
from voicehelper.conversations.live_views import replay
from voicehelper.conversations.live_watches import LocalLiveLog
from voicehelper.conversations.live_watching import Watcher
from voicehelper.conversations.model import KnowledgeScopes, Message, Owner
from voicehelper.conversations.runs import AnswerRun
from voicehelper.conversations.runs_writing import AnswerWriter
from voicehelper.conversations.turns import Ask, Lease, Repeated, StoredTurn, Turn, TurnRepository
from voicehelper.errors import ConversationBusy
from voicehelper.idempotency.model import WriteKey
from voicehelper.ids import new_id
from voicehelper.ports.clock import Clock
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.telemetry import continue_trace, get_logger

log = get_logger(__name__)

_STOP_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way to its answer.

    Attributes:
        message_id: the answer.
        repeated: the key was used before; this is the answer of then.
        events: of the answer, from its first to its last; closing it means that this reader left.
    """

    message_id: UUID
    repeated: bool
    events: AsyncGenerator[LiveEvent, None]


class AnswerService:
    """Asks, answers, stops, and lets any number of readers on any replica follow. `start` and `stop` bracket its
    background work.

    Args:
        turns: where questions and answers lie.
        answerer: asks the model.
        scopes: which knowledge bases there are.
        window: the conversation before a question.
        clock: for waits that are not about an answer's own time.
        log: events for other replicas; by default of this process only.
        answer_timeout_s: most seconds of an answer.
        lease_s: a replica silent for longer loses its answers.
        saga_s: an answer from which nothing came for so long is given up.
        vanish_grace_s: how long after its last reader left an answer still goes on.
    """

    def __init__(
        self,
        turns: TurnRepository,
        answerer: QuestionAnswerer,
        scopes: KnowledgeScopes,
        window: ContextWindow,
        clock: Clock,
        *,
        log: LiveLog | None = None,
        answer_timeout_s: float = 120.0,
        lease_s: float = LEASE_S,
        saga_s: float = 30.0,
        vanish_grace_s: float = 0.5,
    ) -> None:
        self._turns = turns
        self._scopes = scopes
        self._live = log or LocalLiveLog()
        self._runs: dict[UUID, AnswerRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer = AnswerWriter(
            turns, answerer, scopes, window, clock, answer_timeout_s=answer_timeout_s, saga_s=saga_s
        )
        self._leases = Leases(turns, self._runs, clock, lease_s)
        self._grace_s = vanish_grace_s
        self._follower = Follower(turns, self._runs, self._live)
        self._watcher = Watcher(turns, self._runs, self._live)
        self._live.listen(self._heed)

    @property
    def writing(self) -> int:
        """Answers that this process is writing now."""
        return len(self._runs)

    async def start(self) -> None:
        """Begin to tend leases; answers of processes that died before are marked failed at once."""
        await self._live.start()
        self._leases.start()

    async def stop(self) -> None:
        """End the answers in work, as failed for the moment, and then the background work."""
        for run in list(self._runs.values()):
            run.cancel("shutdown")
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._leases.stop()
        await self._live.stop()

    async def ask(self, owner: Owner, conversation_id: UUID, ask: Ask, key: WriteKey | None = None) -> Asked:
        """Store the question and begin to answer it; or find the answer that was begun for the same key.

        The answer is written whoever reads it, until it ends or nobody has read it for a moment; its row says how it
        ended: `completed`, `failed`, `stopped`.

        Raises:
            NotFound: no such conversation or knowledge base.
            ConversationBusy: the previous question is still being answered.
            IdempotencyMismatch: the key stands for another request.
            Unavailable: the database is away; nothing was begun, or the same key finds it.
        """
        # An unknown knowledge base stops the question before it is stored.
        named = None if ask.references is None else await self._scopes.resolve(owner.tenant_id, ask.references)
        lease = self._lease()
        begun = await self._turns.begin(owner, conversation_id, ask, lease, key)
        return self._asked(owner, conversation_id, begun, lease, _Plan(named, ask.keep_running))

    async def regenerate(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, keep_running: bool, key: WriteKey | None = None
    ) -> Asked:
        """Answer the last question of the conversation anew. Raises as `ask` does; `Conflict` for an older answer."""
        lease = self._lease()
        begun = await self._turns.begin_again(owner, conversation_id, message_id, lease, key)
        return self._asked(owner, conversation_id, begun, lease, _Plan(None, keep_running))

    def follow(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, seen: Mark = START
    ) -> AsyncGenerator[LiveEvent, None]:
        """Events of an answer after `seen`; see `Follower.follow`."""
        return self._follower.follow(owner, conversation_id, message_id, seen)

    def watch(
        self, owner: Owner, conversation_id: UUID, message_id: UUID | None = None, seen: Mark = START
    ) -> AbstractAsyncContextManager[AsyncGenerator[LiveEvent, None]]:
        """Events of a conversation as they come; see `Watcher.watch`."""
        return self._watcher.watch(owner, conversation_id, message_id, seen)

    async def stop_answer(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> Message:
        """Stop an answer, on whichever replica it is written; the answer, which is `streaming` still if its writer
        did not end it within a few seconds. Nothing happens to one that has ended. Raises `NotFound`."""
        # In a task of its own: a transaction of the request would keep the writer from storing the end.
        return await asyncio.create_task(self._stop(owner, conversation_id, message_id))

    async def keep_heard(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int, at: datetime | None = None
    ) -> Message:
        """Stop the answer if it is still being written, and keep its first `chars` characters only: that is what the
        asker, interrupting it at `at`, has heard. Done twice, the fewer count. Readers get it as one attempt more.

        Raises `NotFound`, `Unavailable`, and `ConversationBusy` where a writer elsewhere did not end within a few
        seconds.
        """
        return await asyncio.create_task(self._keep_heard(owner, conversation_id, message_id, chars, at))

    async def _keep_heard(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int, at: datetime | None
    ) -> Message:
        answer = await self._stop(owner, conversation_id, message_id)
        if answer.status == "streaming":
            raise ConversationBusy(details={"message_id": str(message_id)}, retry_after=_STOP_WAIT_S)
        cut = await self._turns.keep_heard(owner, conversation_id, message_id, chars, at)
        if cut is None:
            return answer
        for event in replay(cut):
            self._live.append(Thread(owner.tenant_id, conversation_id), event)
        return cut.turn.answer

    async def _stop(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> Message:
        run = self._follower.local(owner, conversation_id, message_id)
        if run is None:
            stored = await self._turns.request_stop(owner, conversation_id, message_id)
            if stored.ended:
                return stored.turn.answer
            self._live.tell(Signal("stop", owner.tenant_id, message_id))
            return await self._until_ended(owner, conversation_id, message_id)
        run.cancel("asked")
        await run.wait(_STOP_WAIT_S)
        return (await self._turns.stored(owner, conversation_id, message_id)).turn.answer

    async def _until_ended(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> Message:
        deadline = asyncio.get_running_loop().time() + _STOP_WAIT_S
        while True:
            await asyncio.sleep(0.1)
            stored = await self._turns.stored(owner, conversation_id, message_id)
            if stored.ended or asyncio.get_running_loop().time() > deadline:
                return stored.turn.answer

    def _asked(self, owner: Owner, conversation_id: UUID, begun: Turn | Repeated, lease: Lease, plan: "_Plan") -> Asked:
        if isinstance(begun, Turn):
            self._launch(begun, lease, plan)
            answer_id, repeated = begun.answer.id, False
        else:
            answer_id, repeated = begun.message_id, True
        retake = partial(self._retake, plan)
        return Asked(answer_id, repeated, self._follower.follow(owner, conversation_id, answer_id, retake=retake))

    async def _retake(self, plan: "_Plan", stored: StoredTurn) -> bool:
        """Write an answer anew whose writer died. True: look again, whoever writes it now."""
        turn, lease = stored.turn, self._lease()
        taken = await self._turns.take_over(turn.owner, turn.answer.conversation_id, turn.answer.id, lease)
        if taken is not None:
            log.info("answer.taken_over", message_id=str(turn.answer.id), attempt=taken.attempt)
            self._launch(taken, lease, plan)
        return True

    def _launch(self, turn: Turn, lease: Lease, plan: "_Plan") -> None:
        """Write the answer in a task of its own."""
        thread = Thread(turn.owner.tenant_id, turn.answer.conversation_id)
        publish = partial(self._live.append, thread)
        run = AnswerRun(turn, lease.run_id, publish, keep_running=plan.keep_running, grace_s=self._grace_s)
        before = self._runs.get(run.id)
        if before is not None:
            before.cancel("superseded")
        self._runs[run.id] = run
        kb_ids = turn.kb_ids if plan.named is None else plan.named
        # Nothing of the request but its context: what serves it cancels whatever was begun on its behalf.
        writing = self._write(run, kb_ids, current_context())
        task = asyncio.get_running_loop().create_task(writing, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, run: AnswerRun, kb_ids: tuple[UUID, ...], request: RequestContext) -> None:
        try:
            with continue_trace(request.carrier, "answer"), use_context(request):
                await self._writer.write(run, kb_ids)
        finally:
            if self._runs.get(run.id) is run:
                del self._runs[run.id]

    def _lease(self) -> Lease:
        return Lease(new_id(), self._leases.lease_s, self._writer.saga_s)

    def _heed(self, signal: Signal) -> None:
        """What another replica asks of a run of this one."""
        run = self._runs.get(signal.message_id)
        if run is None or run.turn.owner.tenant_id != signal.tenant_id:
            return
        match signal.act:
            case "attach":
                run.attach(signal.reader)
            case "detach":
                run.detach(signal.reader)
            case "stop":
                run.cancel("asked")
            case "resend":
                for event in list(run.events):
                    self._live.append(Thread(signal.tenant_id, run.turn.answer.conversation_id), event)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the request says about how to answer: the bases it names (None: the conversation's), and for how long."""

    named: tuple[UUID, ...] | None
    keep_running: bool
