"""Tenants."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from voicehelper.wire.common import Body, Line, View, storable
from voicehelper.wire.identity import Email, NewPassword, Version

HotWord = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(storable)
]


class TenantCreate(Body):
    """A new tenant and its owner. Without a password the owner's is generated and shown in the response, once."""

    name: Line
    owner_email: Email
    owner_password: NewPassword | None = None


class OwnTenantUpdate(Body):
    """New values for one's own tenant; what is left out stays."""

    version: Version
    name: Line | None = None
    hot_words: tuple[HotWord, ...] | None = Field(
        None, max_length=200, description="Names and terms that callers say, most important first"
    )


class TenantUpdate(Body):
    """New values; what is left out stays. Of a disabled tenant nobody gets in."""

    version: Version
    name: Line | None = None
    disabled: bool | None = None


class TenantView(View):
    """A tenant."""

    id: UUID
    name: str
    disabled: bool
    version: int
    created_at: datetime
    updated_at: datetime
    hot_words: tuple[str, ...]


class TenantCreated(View):
    """A new tenant and its owner."""

    tenant: TenantView
    owner_id: UUID
    owner_password: str | None = Field(None, description="The generated one; it is not shown again")
