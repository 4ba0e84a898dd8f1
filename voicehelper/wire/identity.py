"""Login and the caller's own account."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from voicehelper.wire.common import Body, Line, View


class LoginRequest(Body):
    """Who wants in."""

    email: Line
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class TokenView(View):
    """An access token for the `Authorization: Bearer` header."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the OAuth 2 name of the scheme
    expires_in: int = Field(description="Seconds")


class MeView(View):
    """The account behind the token."""

    id: UUID
    tenant_id: UUID
    email: str
    role: str
