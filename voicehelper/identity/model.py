"""Users, tokens, and what stores them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

Role = Literal["admin", "member"]


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
    """Who a verified token speaks for."""

    user_id: UUID
    tenant_id: UUID
    role: str


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
