"""Where voice sessions lie, so that they outlive connections and processes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from voicehelper.conversations import Owner
from voicehelper.errors import Conflict, NotFound, RateLimited

Json = dict[str, Any]


class Fenced(Conflict):
    """The session is held by somebody else by now; whoever gets this lets go of it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write a session, until somebody takes it (`epoch` rises then)."""

    owner: Owner
    session_id: UUID
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to keep. `token_hash`: of the secret that its resumption asks for."""

    hold: Hold
    conversation_id: UUID
    token_hash: bytes
    options: Json
    snapshot: Json


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it lies in the store.

    Attributes:
        options: what it was opened with.
        snapshot: what it needs to go on.
        age_s: seconds since it was opened.
        silent_s: seconds since its holder last wrote or lived.
    """

    hold: Hold
    conversation_id: UUID
    options: Json
    snapshot: Json
    age_s: float = 0.0
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: the session as it is now, and the journal's entries since the last time.

    Attributes:
        seq: number of the first entry.
        ended: the session is over, for this reason; empty while it goes on.
    """

    snapshot: Json
    seq: int
    entries: Sequence[Any] = ()
    ended: str = ""


class SessionStore(Protocol):
    """The truth about sessions. Every method raises `Unavailable` when the store cannot be reached."""

    async def create(self, new: NewSession, per_user: int) -> None:
        """A new session. Raises `RateLimited` where the user has `per_user` already, `NotFound` where the conversation
        is gone."""
        ...

    async def write(self, hold: Hold, batch: Batch) -> None:
        """Keep `batch`. The same batch again changes nothing. Raises `Fenced`."""
        ...

    async def take(self, owner: Owner, session_id: UUID, token_hash: bytes, within_s: float) -> StoredSession:
        """Take the session over, from whoever holds it. Raises `NotFound` where there is none of this owner's with this
        token, or it has ended, or was silent for longer than `within_s`."""
        ...

    async def touch(self, holds: Sequence[Hold]) -> set[UUID]:
        """Say that their holder lives. The sessions among them that are somebody else's by now, or have ended."""
        ...

    async def tidy(self, lost_s: float, keep_s: float, limit: int) -> int:
        """End sessions that were silent for `lost_s`, forget those that ended `keep_s` ago, at most `limit` of each;
        how many were forgotten."""
        ...


@dataclass
class _Row:
    owner: Owner
    conversation_id: UUID
    token_hash: bytes
    options: Json
    snapshot: Json
    epoch: int = 1
    ended: str = ""
    touched: float = 0.0
    journal: dict[int, Sequence[Any]] = field(default_factory=dict)


class FakeSessionStore:
    """Keeps sessions in memory; `rows` by id. `delay` seconds pass in each write; `error`, if set, is raised by it."""

    def __init__(self, delay: float = 0.0) -> None:
        self.rows: dict[UUID, _Row] = {}
        self.delay = delay
        self.error: Exception | None = None
        self.writes = 0

    async def create(self, new: NewSession, per_user: int) -> None:
        """See `SessionStore`."""
        owner = new.hold.owner
        running = [row for row in self.rows.values() if row.owner == owner and not row.ended]
        if len(running) >= per_user:
            raise RateLimited("Too many voice sessions")
        self.rows[new.hold.session_id] = _Row(owner, new.conversation_id, new.token_hash, new.options, new.snapshot)

    async def write(self, hold: Hold, batch: Batch) -> None:
        """See `SessionStore`."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        row = self.rows[hold.session_id]
        if row.epoch != hold.epoch:
            raise Fenced
        self.writes += 1
        row.snapshot, row.ended = batch.snapshot, batch.ended
        if batch.entries:
            row.journal[batch.seq] = list(batch.entries)

    async def take(self, owner: Owner, session_id: UUID, token_hash: bytes, within_s: float) -> StoredSession:
        """See `SessionStore`."""
        row = self.rows.get(session_id)
        if row is None or row.owner != owner or row.token_hash != token_hash or row.ended:
            raise NotFound("No such voice session, or no longer")
        row.epoch += 1
        hold = Hold(owner, session_id, row.epoch)
        return StoredSession(hold, row.conversation_id, row.options, row.snapshot)

    async def touch(self, holds: Sequence[Hold]) -> set[UUID]:
        """See `SessionStore`."""
        rows: Mapping[UUID, _Row] = self.rows
        return {hold.session_id for hold in holds if rows[hold.session_id].epoch != hold.epoch}

    async def tidy(self, lost_s: float, keep_s: float, limit: int) -> int:
        """Nothing grows old here."""
        return 0
