"""Visitors: anonymous people on a customer's web site, each with one conversation and a token for just that."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.config import IdentitySettings
from voicehelper.errors import InvalidInput, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal, User, UserRepository
from voicehelper.identity.sessions import Issuer
from voicehelper.ids import new_id

ROLE = "end_customer"

OpenConversation = Callable[[UUID, UUID], Awaitable[UUID]]
"""Begins a conversation of a user (tenant id, user id); gives its id."""


@dataclass(frozen=True, slots=True)
class VisitorToken:
    """What a web site hands to its visitor. `expires_in` in seconds."""

    token: str
    expires_in: int
    conversation_id: UUID
    visitor_id: UUID


class VisitorStore(Protocol):
    """Visitors by their conversation. Every method raises `Unavailable`."""

    async def of(self, tenant_id: UUID, conversation_id: UUID) -> User | None:
        """The visitor whose conversation it is; None where it is nobody's or a person's."""
        ...

    async def dismiss(self, tenant_id: UUID, visitor_id: UUID, conversation_id: UUID) -> bool:
        """Whether the visitor's tokens ended now; replicas refuse them within a second."""
        ...


class Visitors:
    """Hands out visitors' tokens and ends them."""

    def __init__(
        self,
        store: VisitorStore,
        users: UserRepository,
        issuer: Issuer,
        acts: Acts,
        settings: IdentitySettings,
    ) -> None:
        self._store = store
        self._users = users
        self._issuer = issuer
        self._acts = acts
        self._longest_s = settings.visitor_token_s

    async def welcome(self, by: Principal, open_conversation: OpenConversation, ttl_s: int | None) -> VisitorToken:
        """A new visitor with a conversation, and a token for it.

        Args:
            by: who answers for the visitor.
            open_conversation: begins the conversation, within the same transaction.
            ttl_s: life of the token; None for the longest allowed.

        Raises:
            InvalidInput: `ttl_s` is over the limit; and whatever `open_conversation` raises.
        """
        life = self._life(ttl_s)
        visitor = User(new_id(), by.tenant_id, "", "", ROLE, kind="visitor")
        async with self._acts.unit(by.tenant_id):
            visitor = await self._users.create(visitor)
            conversation_id = await open_conversation(by.tenant_id, visitor.id)
            act = act_of(by, "visitor.admitted", "conversation", conversation_id, visitor_id=str(visitor.id))
            await self._acts.audit.record(act)
        return self._token(visitor, conversation_id, life)

    async def renew(self, by: Principal, conversation_id: UUID, ttl_s: int | None) -> VisitorToken:
        """Another token for a visitor who is still there. Raises `NotFound`, `InvalidInput`."""
        life = self._life(ttl_s)
        visitor = await self._active(by, conversation_id)
        act = act_of(by, "visitor.readmitted", "conversation", conversation_id, visitor_id=str(visitor.id))
        await self._acts.audit.record(act)
        return self._token(visitor, conversation_id, life)

    async def dismiss(self, by: Principal, conversation_id: UUID) -> None:
        """End the visitor's tokens for good; the conversation stays. Raises `NotFound`."""
        visitor = await self._active(by, conversation_id)
        async with self._acts.unit(by.tenant_id):
            if not await self._store.dismiss(by.tenant_id, visitor.id, conversation_id):
                raise NotFound
            act = act_of(by, "visitor.dismissed", "conversation", conversation_id, visitor_id=str(visitor.id))
            await self._acts.audit.record(act)

    async def _active(self, by: Principal, conversation_id: UUID) -> User:
        visitor = await self._store.of(by.tenant_id, conversation_id)
        if visitor is None or not visitor.active:
            raise NotFound
        return visitor

    def _life(self, ttl_s: int | None) -> int:
        if ttl_s is not None and ttl_s > self._longest_s:
            raise InvalidInput("ttl_s is over the limit", {"limit_s": self._longest_s})
        return ttl_s or self._longest_s

    def _token(self, visitor: User, conversation_id: UUID, life: int) -> VisitorToken:
        issued = self._issuer.issue_visitor(visitor, conversation_id, life)
        return VisitorToken(issued.token, issued.expires_in, conversation_id, visitor.id)
