"""Tenants."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import Body, Line, View
from voicehelper.wire.identity import Email, NewPassword, Version


class TenantCreate(Body):
    """A new tenant and its owner. Without a password the owner's is generated and shown in the response, once."""

    name: Line
    owner_email: Email
    owner_password: NewPassword | None = None


class TenantRename(Body):
    """A new name of one's own tenant."""

    version: Version
    name: Line


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


class TenantCreated(View):
    """A new tenant and its owner."""

    tenant: TenantView
    owner_id: UUID
    owner_password: str | None = Field(None, description="The generated one; it is not shown again")
