"""API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import Body, Line, View
from voicehelper.wire.roles import PermissionName
from voicehelper.wire.times import Moment


class ApiKeyCreate(Body):
    """A new key. It may do what both its permissions and the role of its maker allow."""

    name: Line
    permissions: Annotated[list[PermissionName], Field(min_length=1, max_length=50, description="See GET /permissions")]
    expires_at: Moment | None = Field(None, description="None: until it is revoked")


class ApiKeyView(View):
    """A key. Its text was shown when it was made."""

    id: UUID
    user_id: UUID = Field(description="Who made it")
    name: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = Field(None, description="To within a minute")


class ApiKeyCreated(ApiKeyView):
    """A new key."""

    key: str = Field(description="For the `Authorization: Bearer` header; it is not shown again")
