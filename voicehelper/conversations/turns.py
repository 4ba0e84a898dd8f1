"""Turns: a question with its answer, and where they lie while the answer is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from voicehelper.conversations.model import Attachment, Message, MessageStatus, Owner
from voicehelper.errors import VoiceHelperError
from voicehelper.idempotency.model import WriteKey
from voicehelper.rag.events import Citation

LEFT = "left"
"""`metadata["reason"]` of an answer that was stopped because nobody read it any more."""

ASKED = "asked"
"""Of one that was stopped on request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question as it was put.

    Attributes:
        references: knowledge bases by id or name instead of the conversation's own.
        attachments: descriptions of what came with it.
        keep_running: write the answer to its end even when nobody reads it.
        metadata: kept with the question: `speech` of a spoken one (`language`, `duration_ms`).
        withdraws: the answer to a question that this one holds too. Where nothing of that answer is kept, both are
            taken out of the conversation, and `metadata["replaces"]` of this question names their ids.
    """

    content: str
    references: tuple[str, ...] | None = None
    attachments: tuple[Attachment, ...] = ()
    keep_running: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    withdraws: UUID | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who writes an answer, and how long (seconds) he may be silent: towards the store, and towards the reader."""

    run_id: UUID
    seconds: float
    saga_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was stored and its answer, as it is when its writing begins.

    Attributes:
        attempt: how often the model was asked, this time included.
        kb_ids: the conversation's own knowledge bases; empty for all of the tenant.
        before: the attempt of the answer before the question; 0 before the first question, None where nobody looked.
    """

    owner: Owner
    question: Message
    answer: Message
    attempt: int = 1
    kb_ids: tuple[UUID, ...] = ()
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """The key was used before, for this answer."""

    message_id: UUID


Trail = tuple[int | str, ...]
"""How an answer was streamed: for each status its stage, for each delta its number of characters."""


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn as it lies in the store.

    Attributes:
        trail: None for answers older than trails.
        failure: data of the `error` event that ended the answer.
        lapsed: the answer is unfinished and its writer silent for longer than its lease.
    """

    turn: Turn
    trail: Trail | None = None
    failure: str | None = None
    lapsed: bool = False

    @property
    def ended(self) -> bool:
        """Whether the answer has its last word."""
        return self.turn.answer.status != "streaming"

    @property
    def retakable(self) -> bool:
        """Whether the same request, sent again, should write the answer anew: its writer died or failed for a reason
        that passes, or its asker was cut off."""
        answer = self.turn.answer
        if answer.status == "failed":
            code = int(answer.metadata.get("error", {}).get("code", VoiceHelperError.code))
            return code >= 50000 or code // 100 == 429
        return self.lapsed or (answer.status == "stopped" and answer.metadata.get("reason") == LEFT)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended and what is kept of it."""

    status: MessageStatus
    content: str
    citations: tuple[Citation, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    trail: Trail = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """An answer in work: its text so far, and for how many seconds more its writer expects something to come."""

    message_id: UUID
    run_id: UUID
    content: str
    trail: Trail
    progress_s: float


class TurnRepository(Protocol):
    """Where questions and their answers are written. Every method raises `Unavailable` when the store cannot be
    reached, and `NotFound` where the owner has no such conversation or answer."""

    async def begin(
        self, owner: Owner, conversation_id: UUID, ask: Ask, lease: Lease, key: WriteKey | None = None
    ) -> Turn | Repeated:
        """Store the question, the empty answer and the key in one transaction, under a lock on the conversation; what
        the question withdraws goes in the same.

        Raises `ConversationBusy` while another answer holds its lease, `IdempotencyMismatch` for a key that stands
        for another request.
        """
        ...

    async def begin_again(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, lease: Lease, key: WriteKey | None = None
    ) -> Turn | Repeated:
        """Write the last answer of the conversation anew; what it was is kept among its alternatives.

        Raises as `begin` does, and `Conflict` for an answer that is not the last.
        """
        ...

    async def take_over(self, owner: Owner, conversation_id: UUID, message_id: UUID, lease: Lease) -> Turn | None:
        """Write an answer anew that is `retakable`; None when it is so no longer. Raises `ConversationBusy`."""
        ...

    async def stored(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        """The answer with its question."""
        ...

    async def stored_from(self, owner: Owner, conversation_id: UUID, seq: int, limit: int) -> list[StoredTurn]:
        """Answers with at least this `seq`, in order; the last one alone for `seq` 0."""
        ...

    async def request_stop(self, owner: Owner, conversation_id: UUID, message_id: UUID) -> StoredTurn:
        """Tell the writer of an unfinished answer, by its row, to stop; end the answer if the writer is dead."""
        ...

    async def keep_heard(
        self, owner: Owner, conversation_id: UUID, message_id: UUID, chars: int, at: datetime | None = None
    ) -> StoredTurn | None:
        """Cut an ended answer to its first `chars` characters (see `heard.cut_to`); the turn as it is then, None where
        nothing was cut."""
        ...

    async def renew(self, renewals: Sequence[Renewal], lease_s: float) -> dict[UUID, bool]:
        """Extend leases, keeping the texts. The answers that are still these writers' own, and whether their stop was
        requested."""
        ...

    async def finish(self, turn: Turn, run_id: UUID, ending: Ending) -> Message | None:
        """Store the end of an answer with its event; the answer, or None when it is another writer's by now.

        Raises `NotFound` when its conversation was deleted meanwhile.
        """
        ...

    async def expire(self, lease_s: float) -> int:
        """Compensate answers whose lease or saga ran out: failed, with the event; returns how many. Nothing expires
        within `lease_s` seconds from a start of the store, so that the living can renew first."""
        ...
