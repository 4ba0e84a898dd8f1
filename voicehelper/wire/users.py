"""A tenant's users."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from voicehelper.wire.common import Body, View
from voicehelper.wire.identity import Email, Name, NewPassword, Version

RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$", max_length=64)]


class UserCreate(Body):
    """A new user. Without a password one is generated and shown in the response, once."""

    email: Email
    name: Name = ""
    role: RoleName = "member"
    password: NewPassword | None = None


class UserUpdate(Body):
    """New values; what is left out stays. Disabling logs the user out everywhere."""

    version: Version
    name: Name | None = None
    role: RoleName | None = None
    disabled: bool | None = None
    platform: bool | None = Field(None, description="Administers the platform: only such a caller can change it")


class PasswordReset(Body):
    """A new password; without one it is generated and shown in the response, once."""

    password: NewPassword | None = None


class UserView(View):
    """A user of the tenant."""

    id: UUID
    email: str
    name: str
    role: str
    disabled: bool
    platform: bool = Field(description="May administer tenants and signing keys")
    version: int
    created_at: datetime
    last_login_at: datetime | None = None


class UserCreated(UserView):
    """A new user."""

    password: str | None = Field(None, description="The generated one; it is not shown again")


class PasswordView(View):
    """What a reset gave."""

    password: str | None = Field(None, description="The generated one; it is not shown again")
