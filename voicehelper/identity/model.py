"""Users, tokens, and what stores them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from voicehelper.identity.permissions import BUILT_IN

PrincipalKind = Literal["user", "key", "visitor"]


@dataclass(frozen=True, slots=True)
class User:
    """An account. `email` is unique over all tenants and stored as `normalise_email` gives it."""

    id: UUID
    tenant_id: UUID
    email: str
    password_hash: str
    role: str
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a verified credential speaks for, and what it may do now.

    Attributes:
        user_id: the user; for an API key the user who made it, for a visitor the visitor.
        permissions: of `identity.permissions`; already reduced to what both role and key allow.
        session_id: the login behind an access token.
        key_id: the API key.
        conversation_id: the only conversation a visitor's token is good for.
        expires_at: Unix time; None for a key without end.
    """

    user_id: UUID
    tenant_id: UUID
    role: str = "member"
    permissions: frozenset[str] = BUILT_IN["member"]
    kind: PrincipalKind = "user"
    session_id: UUID | None = None
    key_id: UUID | None = None
    conversation_id: UUID | None = None
    expires_at: float | None = None

    def may(self, permission: str) -> bool:
        """Whether it is allowed."""
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and its life in seconds."""

    token: str
    expires_in: int


class UserRepository(Protocol):
    """Where users lie. Every method raises `Unavailable` when the store cannot be reached."""

    async def by_email(self, email: str) -> User | None:
        """The user with this (normalised) e-mail address, in whichever tenant."""
        ...

    async def get(self, tenant_id: UUID, user_id: UUID) -> User | None:
        """The user of this tenant."""
        ...

    async def record_login(self, user_id: UUID, at: datetime, new_hash: str | None) -> None:
        """Remember the login; `new_hash` replaces the password hash (its parameters were outdated)."""
        ...

    async def first_admin(self, tenant: str) -> User | None:
        """The oldest administrator of the tenant with this name."""
        ...

    async def create_admin(self, tenant: str, email: str, password_hash: str) -> User:
        """Create the tenant (unless it exists) and its administrator. Raises `Conflict` when the address is taken."""
        ...


def normalise_email(email: str) -> str:
    """One spelling per mailbox: trimmed, case folded."""
    return email.strip().casefold()
