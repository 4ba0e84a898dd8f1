"""What users may do now: role -> permissions, as the database says, remembered as long as nothing changed.

Found in this process, else in Redis (an hour, as flow 1 draws it), else in PostgreSQL. Every remembered standing
carries the position of the identity feed *before* it was read, and counts only while the feed knows of no later change
to its user, tenant or role: a cache that was written too late, or survived too long, is never believed.
"""

import asyncio
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from voicehelper.identity.feed import IdentityFeed, Subject
from voicehelper.identity.lru import Lru
from voicehelper.identity.permissions import BUILT_IN, unknown_permissions
from voicehelper.telemetry import metrics

_REMEMBERED = 20_000
_PLATFORM = frozenset({"platform:write"})


@dataclass(frozen=True, slots=True)
class UserFacts:
    """A user as the database has it.

    Attributes:
        active: neither disabled nor erased, nor is the tenant disabled.
        platform: may administer tenants.
        granted: permissions of `role` where it is one of the tenant's own; None for a built-in or unknown role.
    """

    tenant_id: UUID
    user_id: UUID
    role: str
    kind: Literal["person", "visitor"]
    active: bool
    platform: bool = False
    granted: frozenset[str] | None = None

    def permissions(self) -> frozenset[str]:
        """What follows from it; nothing for a role that does not exist."""
        if not self.active:
            return frozenset()
        own = self.granted or frozenset()
        granted = BUILT_IN.get(self.role) or own - unknown_permissions(own)
        return granted | _PLATFORM if self.platform and self.kind == "person" else granted

    def subjects(self) -> tuple[Subject, ...]:
        """What must not have changed for this to hold."""
        return ("user", self.user_id), ("tenant", self.tenant_id), ("role", f"{self.tenant_id}/{self.role}")


@dataclass(frozen=True, slots=True)
class ApiKeyFacts:
    """An API key as the database has it. `expires_at` is Unix time."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    secret_hash: bytes
    permissions: frozenset[str]
    expires_at: float | None
    revoked: bool


@dataclass(slots=True)
class Standing:
    """Facts, what follows from them, and the position of the feed up to which they are known to hold."""

    facts: UserFacts
    permissions: frozenset[str]
    subjects: tuple[Subject, ...]
    seq: int


class PrincipalRepository(Protocol):
    """Where users and keys are looked up. Raises `Unavailable`."""

    async def user(self, tenant_id: UUID, user_id: UUID) -> UserFacts | None:
        """The user of this tenant, with the permissions of its role."""
        ...

    async def api_key(self, key_id: UUID) -> ApiKeyFacts | None:
        """The key of this id, in whichever tenant."""
        ...

    async def note_key_uses(self, uses: Mapping[UUID, float]) -> None:
        """Remember when keys were last used (Unix time)."""
        ...


class StandingCache(Protocol):
    """A cache that all replicas share. It may lose anything, and never raises."""

    async def get(self, tenant_id: UUID, user_id: UUID) -> tuple[UserFacts, int] | None:
        """What `put` was given last."""
        ...

    async def put(self, facts: UserFacts, seq: int) -> None:
        """Remember `facts`, read when the feed stood at `seq`."""
        ...


class NullStandingCache:
    """Remembers nothing."""

    async def get(self, tenant_id: UUID, user_id: UUID) -> tuple[UserFacts, int] | None:
        """Nothing."""
        return None

    async def put(self, facts: UserFacts, seq: int) -> None:
        """Nothing."""


class Standings:
    """Users' standings, each read once at a time however many requests ask for it."""

    def __init__(self, repository: PrincipalRepository, cache: StandingCache, feed: IdentityFeed) -> None:
        self._repository = repository
        self._cache = cache
        self._feed = feed
        self._known: Lru[UUID, Standing] = Lru(_REMEMBERED)
        self._reads: dict[UUID, asyncio.Task[Standing | None]] = {}
        self._writes: set[asyncio.Task[None]] = set()

    async def of(self, tenant_id: UUID, user_id: UUID) -> Standing | None:
        """The present standing of this tenant's user; None where there is no such user. Raises `Unavailable`."""
        known = self._known.get(user_id)
        position = self._feed.position
        if known is None or (known.seq != position and self._feed.changed_since(known.seq, known.subjects)):
            known = await self._read(tenant_id, user_id)
        else:
            known.seq = position
        return known if known is not None and known.facts.tenant_id == tenant_id else None

    async def _read(self, tenant_id: UUID, user_id: UUID) -> Standing | None:
        task = self._reads.get(user_id)
        if task is None:
            # In a context of its own: it outlives the request that began it, and shares nothing with its transaction.
            task = asyncio.create_task(self._find(tenant_id, user_id), context=Context())
            self._reads[user_id] = task
            task.add_done_callback(lambda _: self._reads.pop(user_id, None))
        return await asyncio.shield(task)  # one asker's end is not the others'

    async def _find(self, tenant_id: UUID, user_id: UUID) -> Standing | None:
        cached = await self._cache.get(tenant_id, user_id)
        if cached is not None and self._holds(*cached):
            metrics.STANDINGS.labels("cache").inc()
            return self._remember(*cached)
        seq = self._feed.position
        facts = await self._repository.user(tenant_id, user_id)
        metrics.STANDINGS.labels("database").inc()
        if facts is None:
            return None
        task = asyncio.create_task(self._cache.put(facts, seq))  # nobody waits for it
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return self._remember(facts, seq)

    def _holds(self, facts: UserFacts, seq: int) -> bool:
        """Whether a cached entry counts. One from beyond what we have read may be of a database since restored."""
        return seq <= self._feed.position and not self._feed.changed_since(seq, facts.subjects())

    def _remember(self, facts: UserFacts, seq: int) -> Standing:
        standing = Standing(facts, facts.permissions(), facts.subjects(), seq)
        self._known.put(facts.user_id, standing)
        return standing
