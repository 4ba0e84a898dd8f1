"""What this process must forget: every revocation and change of identity, from every replica, within a second.

Replicas follow one table in the order of its commits (`identity_changes`), woken by a notification and looking twice a
second anyway. Who has not been able to look for `STALE_S` seconds lets nobody in: a token revoked meanwhile must not
pass. Nothing of this needs Redis.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

ChangeKind = Literal["session", "user", "key", "role", "tenant", "signing_key"]
Subject = tuple[ChangeKind, UUID | str]

POLL_S = 0.5
STALE_S = 5.0
_RETRY_S = 0.2
_SWEEP_S = 300.0


@dataclass(frozen=True, slots=True)
class Change:
    """A row of `identity_changes`. `seq` follows the order of commits; `expires_at` is Unix time."""

    seq: int
    kind: ChangeKind
    tenant_id: UUID | None
    subject: str
    expires_at: float


class IdentityChanges(Protocol):
    """Where changes are written down. Raises `Unavailable`."""

    async def since(self, seq: int) -> list[Change]:
        """Those after `seq` that have not expired, in order."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when there may be news, or after `timeout` seconds."""
        ...

    async def sweep(self) -> None:
        """Remove expired ones."""
        ...


class IdentityFeed:
    """The changes up to `position`, in memory. A credential is checked against them without asking anybody."""

    def __init__(
        self,
        changes: IdentityChanges,
        clock: Clock,
        new_signing_keys: Callable[[], Awaitable[None]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`new_signing_keys` is awaited after a change of kind `signing_key`, again until it does not raise."""
        self._changes = changes
        self._clock = clock
        self._new_signing_keys = new_signing_keys
        self._monotonic = monotonic
        self._seen_at = float("-inf")
        self._swept_at = float("-inf")
        self._keys_due = False
        self._marks: dict[Subject, tuple[int, float]] = {}  # seq of the last change, and when it expires
        self._news: asyncio.Event = asyncio.Event()
        self._forgotten = 0  # changes up to here may have been swept from `_marks`
        self.position = 0

    def require_fresh(self) -> None:
        """Raises `Unavailable` when the changes have not been read for `STALE_S` seconds."""
        if self._monotonic() - self._seen_at > STALE_S:
            raise Unavailable("Identities cannot be checked at the moment", retry_after=1)

    def revoked(self, session: UUID | None) -> bool:
        """Whether tokens of this session (for a visitor's token: of this conversation) are refused."""
        return ("session", session) in self._marks

    def changed_since(self, seq: int, subjects: Iterable[Subject]) -> bool:
        """Whether any of `subjects` changed after position `seq`; also where that is too long ago to tell."""
        if seq < self._forgotten:
            return True
        for subject in subjects:
            mark = self._marks.get(subject)
            if mark is not None and mark[0] > seq:
                return True
        return False

    async def news(self, timeout: float) -> None:
        """Return after the next changes, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()

    async def poll(self) -> None:
        """Read what is new. Raises `Unavailable`."""
        started = self._monotonic()
        changes = await self._changes.since(self.position)
        for change in changes:
            self._apply(change)
        self._seen_at = started
        if changes:
            self._news.set()
            self._news = asyncio.Event()
        if self._keys_due and self._new_signing_keys is not None:
            await self._new_signing_keys()
            self._keys_due = False
        if started - self._swept_at > _SWEEP_S:
            self._forget_expired()
            await self._changes.sweep()
            self._swept_at = started

    async def run(self) -> None:
        """Follow the changes, for ever. `poll` once before, so that nothing is served from an empty memory."""
        away = False
        while True:
            await (self._clock.sleep(_RETRY_S) if away else self._changes.wait(POLL_S))
            try:
                await self.poll()
            except Unavailable as error:
                if not away:
                    log.warning("identity_feed.away", error=error.message)
                away = True
            else:
                away = False

    def _apply(self, change: Change) -> None:
        self.position = change.seq
        self._keys_due = self._keys_due or change.kind == "signing_key"
        subject = subject_of(change.kind, change.tenant_id, change.subject)
        _, expires_at = self._marks.get(subject, (0, 0.0))
        self._marks[subject] = (change.seq, max(expires_at, change.expires_at))

    def _forget_expired(self) -> None:
        now = self._clock.now()
        self._forgotten = max([self._forgotten, *(seq for seq, until in self._marks.values() if until <= now)])
        self._marks = {subject: mark for subject, mark in self._marks.items() if mark[1] > now}


def subject_of(kind: ChangeKind, tenant_id: UUID | None, subject: str) -> Subject:
    """What a change is about: an id, or for a role its tenant and name."""
    if kind == "role":
        return kind, f"{tenant_id}/{subject}"
    return kind, subject if kind == "signing_key" else UUID(subject)
