"""Login, tokens, and the caller's own account and sessions."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from voicehelper.wire.common import Body, Line, View, storable

Typed = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""A password as somebody typed it: rules hold for new ones only."""

NewPassword = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""A password to be set: whether it is strong enough is answered by `WeakPassword` (40005), which says why."""

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"),
]

Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(storable)]

Version = Annotated[int, Field(ge=0, le=2**31 - 1, description="As last read: 409 (40903) when it has changed since")]


class LoginRequest(Body):
    """Who wants in."""

    email: Line
    password: Typed


class RefreshRequest(Body):
    """The newest refresh token of a session."""

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TokenView(View):
    """An access token for the `Authorization: Bearer` header, and the refresh token that renews it, once."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the OAuth 2 name of the scheme
    expires_in: int = Field(description="Seconds")
    refresh_token: str = Field(description="For POST /auth/refresh. Using it twice ends the session")
    refresh_expires_in: int = Field(description="Seconds")


class MeView(View):
    """The account behind the token."""

    id: UUID
    tenant_id: UUID
    email: str
    name: str
    role: str
    permissions: list[str] = Field(description="What this token or key may do, now")


class SessionView(View):
    """A login of the caller's."""

    id: UUID
    client: str = Field(description="What the client called itself (User-Agent)")
    created_at: datetime
    last_used_at: datetime = Field(description="Login or last refresh")
    expires_at: datetime = Field(description="Unless it is refreshed before")
    current: bool = Field(description="Whether it is the one that asks")


class SessionsEnded(View):
    """How many logins ended."""

    ended: int


class PasswordChange(Body):
    """A new password of one's own."""

    current_password: Typed
    new_password: NewPassword
