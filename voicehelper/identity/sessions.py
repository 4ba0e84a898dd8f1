"""Logins that last: a session is the family of its refresh tokens, of which only the newest is good, and only once.

Whoever presents a used one has copied it, or was copied: the family ends (RFC 9700, 4.14.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol
from uuid import UUID

from voicehelper.config import IdentitySettings
from voicehelper.errors import NotFound, TokenExpired, TokenRevoked, Unauthenticated
from voicehelper.identity.acts import Acts, act_of, anonymous_act
from voicehelper.identity.audit import AuditEntry
from voicehelper.identity.model import AccessToken, Principal, TokenPair, User, UserRepository
from voicehelper.identity.opaque_tokens import REFRESH_TOKEN, Presented
from voicehelper.ids import new_id
from voicehelper.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """A login. `client` is what the client calls itself (User-Agent)."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    client: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class Rotation(Enum):
    """What became of a refresh token that was presented."""

    ROTATED = "rotated"
    UNKNOWN = "unknown"
    REUSED = "reused"
    EXPIRED = "expired"
    ENDED = "ended"


class SessionStore(Protocol):
    """Where sessions and refresh tokens lie. Every method raises `Unavailable`; times are aware."""

    async def add(self, session: Session, digest: bytes) -> None:
        """A new session with its first refresh token."""
        ...

    async def tenant_of(self, token: Presented) -> UUID | None:
        """Whose token it is; None for one that is not known, or that names another session."""
        ...

    async def rotate(
        self, tenant_id: UUID, token: Presented, digest: bytes, now: datetime, expires_at: datetime
    ) -> tuple[Rotation, UUID | None]:
        """Use the token up, atomically, and store its successor; with the user's id where it is `ROTATED`."""
        ...

    async def live(self, tenant_id: UUID, user_id: UUID, now: datetime) -> Sequence[Session]:
        """Sessions of the user that have not ended, last used first; at most 200."""
        ...

    async def end(
        self, tenant_id: UUID, user_id: UUID | None, session_id: UUID | None, keep: UUID | None, reason: str
    ) -> Sequence[UUID]:
        """End one session, or all of a user but `keep`; returns those that ended now. Replicas refuse their access
        tokens within a second."""
        ...

    async def prune(self, now: datetime, tokens_before: datetime) -> None:
        """Delete expired sessions, and tokens made before `tokens_before`, which have expired too."""
        ...


class Issuer(Protocol):
    """Signs access tokens."""

    def issue(self, user: User, session_id: UUID) -> AccessToken:
        """For a login."""
        ...

    def issue_visitor(self, user: User, conversation_id: UUID, ttl_s: int) -> AccessToken:
        """For an anonymous visitor, good for one conversation."""
        ...


class Sessions:
    """Begins, renews, lists and ends logins."""

    def __init__(
        self,
        store: SessionStore,
        users: UserRepository,
        issuer: Issuer,
        acts: Acts,
        settings: IdentitySettings,
    ) -> None:
        self._store = store
        self._users = users
        self._issuer = issuer
        self._acts = acts
        self._life = timedelta(seconds=settings.refresh_token_s)

    async def begin(self, user: User, client: str) -> TokenPair:
        """A new session of `user`, who has just proved who he is; within the caller's transaction."""
        now = self._acts.now()
        session = Session(new_id(), user.tenant_id, user.id, client[:200], now, now, now + self._life)
        text, digest = REFRESH_TOKEN.make(session.id)
        await self._store.add(session, digest)
        created = AuditEntry(user.tenant_id, "session.created", "user", user.id, "session", str(session.id))
        await self._acts.audit.record(created)
        return self._pair(user, session.id, text)

    async def renew(self, text: str) -> TokenPair:
        """New tokens for a refresh token, which is used up.

        Raises:
            Unauthenticated: it is none of ours.
            TokenExpired: it was not used in time.
            TokenRevoked: the session or the account has ended; or the token was used before, which ends the session.
        """
        token = REFRESH_TOKEN.parse(text)
        tenant_id = await self._store.tenant_of(token) if token else None
        if token is None or tenant_id is None:
            raise Unauthenticated
        renewed, digest = REFRESH_TOKEN.make(token.id)
        now = self._acts.now()
        async with self._acts.unit(tenant_id):
            outcome, user_id = await self._store.rotate(tenant_id, token, digest, now, now + self._life)
            if outcome is Rotation.REUSED:
                await self._end_family(tenant_id, token.id)
            user = await self._users.get(tenant_id, user_id) if user_id else None
        if outcome is Rotation.EXPIRED:
            raise TokenExpired
        if outcome is Rotation.UNKNOWN:
            raise Unauthenticated
        if outcome is not Rotation.ROTATED or user is None or not user.active:
            raise TokenRevoked
        return self._pair(user, token.id, renewed)

    async def of(self, by: Principal) -> Sequence[Session]:
        """The caller's own sessions, last used first."""
        return await self._store.live(by.tenant_id, by.user_id, self._acts.now())

    async def end(self, by: Principal, session_id: UUID, reason: str = "logout") -> None:
        """End one of the caller's own sessions. Raises `NotFound`."""
        async with self._acts.unit(by.tenant_id):
            ended = await self._store.end(by.tenant_id, by.user_id, session_id, None, reason)
            if not ended:
                raise NotFound
            await self._acts.audit.record(act_of(by, "session.ended", "session", session_id, reason=reason))

    async def end_all(self, by: Principal, user_id: UUID, reason: str, keep: UUID | None = None) -> int:
        """End all sessions of a user of the caller's tenant but `keep`; returns how many."""
        async with self._acts.unit(by.tenant_id):
            ended = await self._store.end(by.tenant_id, user_id, None, keep, reason)
            act = act_of(by, "sessions.ended", "user", user_id, reason=reason, sessions=len(ended))
            await self._acts.audit.record(act)
        return len(ended)

    async def prune(self) -> None:
        """Delete what has expired."""
        now = self._acts.now()
        await self._store.prune(now, now - self._life)

    async def _end_family(self, tenant_id: UUID, session_id: UUID) -> None:
        ended = await self._store.end(tenant_id, None, session_id, None, "reuse")
        if ended:  # a thief who tries again and again fills no log
            log.warning("session.refresh_reused", tenant_id=str(tenant_id), session_id=str(session_id))
            act = anonymous_act(tenant_id, "session.reuse_detected", None, "denied", session_id=str(session_id))
            await self._acts.audit.record(act)

    def _pair(self, user: User, session_id: UUID, refresh: str) -> TokenPair:
        access = self._issuer.issue(user, session_id)
        return TokenPair(access.token, access.expires_in, refresh, int(self._life.total_seconds()))
