"""Users, principals, tokens, and what stores users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from voicehelper.identity.permissions import BUILT_IN

PrincipalKind = Literal["user", "key", "visitor"]


@dataclass(frozen=True, slots=True)
class User:
    """An account. `email` is unique over all tenants and stored as `normalise_email` gives it.

    Attributes:
        password_hash: empty for a visitor, who cannot log in.
        disabled: this account was switched off.
        kind: `visitor` for an anonymous end customer, who has neither address nor password.
        platform: may administer tenants.
        version: grows with every change by an administrator.
        tenant_disabled: the whole tenant was switched off.
        erased: the person asked to be forgotten; the row stays for what refers to it.
    """

    id: UUID
    tenant_id: UUID
    email: str
    password_hash: str
    role: str
    disabled: bool = False
    name: str = ""
    kind: Literal["person", "visitor"] = "person"
    platform: bool = False
    version: int = 1
    created_at: datetime | None = None
    last_login_at: datetime | None = None
    tenant_disabled: bool = False
    erased: bool = False

    @property
    def active(self) -> bool:
        """Whether it may be used at all."""
        return not (self.disabled or self.tenant_disabled or self.erased)


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


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a refresh gives: lives in seconds. The refresh token is good for one use."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


@dataclass(frozen=True, slots=True)
class UserQuery:
    """Which people of a tenant, newest first. `text` is looked for in addresses and names; `before` is the id of the
    last one of the page before."""

    text: str | None = None
    role: str | None = None
    disabled: bool | None = None
    before: UUID | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class UserChange:
    """New values; None leaves the old."""

    name: str | None = None
    role: str | None = None
    disabled: bool | None = None
    platform: bool | None = None

    @property
    def weakens(self) -> bool:
        """Whether it may take an owner from the tenant, or an administrator from the platform."""
        return bool(self.disabled) or self.role not in {None, "owner"} or self.platform is False


class UserRepository(Protocol):
    """Where users lie. Every method raises `Unavailable` when the store cannot be reached."""

    async def by_email(self, email: str) -> User | None:
        """The user with this (normalised) e-mail address, in whichever tenant."""
        ...

    async def get(self, tenant_id: UUID, user_id: UUID) -> User | None:
        """The user of this tenant."""
        ...

    async def find(self, tenant_id: UUID, query: UserQuery) -> Sequence[User]:
        """People of the tenant that match; neither visitors nor erased ones."""
        ...

    async def create(self, user: User) -> User:
        """Store a new user. Raises `Conflict` when the address is taken, `InvalidInput` when there is no such role."""
        ...

    async def change(self, tenant_id: UUID, user_id: UUID, version: int, change: UserChange) -> User:
        """Apply `change` if `version` is the present one; replicas learn of it.

        Raises:
            NotFound, VersionConflict: no such user, or changed meanwhile.
            Conflict: the tenant would be left without an active owner, or the platform without an administrator.
            InvalidInput: there is no such role.
        """
        ...

    async def set_password(
        self, tenant_id: UUID, user_id: UUID, password_hash: str, at: datetime, replacing: str | None = None
    ) -> bool:
        """Replace the hash; `version` grows. False, and nothing done, when the present hash is not `replacing`."""
        ...

    async def record_login(self, user: User, at: datetime, new_hash: str | None) -> bool:
        """Remember the login; `new_hash` replaces the password hash (its parameters were outdated). False, and nothing
        done, when the password or the account has changed since `user` was read."""
        ...

    async def first_admin(self, tenant: str) -> User | None:
        """The oldest administrator of the tenant with this name."""
        ...

    async def create_admin(self, tenant: str, email: str, password_hash: str) -> User:
        """Create the tenant (unless it exists) and its owner, who administers the platform. Raises `Conflict` when the
        address is taken."""
        ...


def normalise_email(email: str) -> str:
    """One spelling per mailbox: trimmed, case folded."""
    return email.strip().casefold()
