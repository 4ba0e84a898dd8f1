"""Roles and permissions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from voicehelper.wire.common import Body, Paragraph, View
from voicehelper.wire.identity import Version
from voicehelper.wire.users import RoleName

PermissionName = Literal[
    "profile:read",
    "profile:write",
    "conversations:read",
    "conversations:write",
    "conversations:review",
    "voice:talk",
    "speech:use",
    "models:use",
    "models:read",
    "models:write",
    "experiments:read",
    "experiments:write",
    "budgets:read",
    "budgets:write",
    "usage:read",
    "knowledge:read",
    "knowledge:write",
    "visitors:write",
    "keys:read",
    "keys:write",
    "users:read",
    "users:write",
    "roles:write",
    "privacy:write",
    "audit:read",
    "events:read",
    "events:write",
    "tenant:write",
]
"""What a role or key can have: `identity.permissions`, without the platform's own."""

Permissions = Annotated[list[PermissionName], Field(max_length=50, description="See GET /permissions")]


class RoleCreate(Body):
    """A new role of the tenant."""

    name: RoleName
    permissions: Permissions
    description: Paragraph = ""


class RoleUpdate(Body):
    """New values; what is left out stays. They hold at once for whoever has the role."""

    version: Version
    permissions: Permissions | None = None
    description: Paragraph | None = None


class RoleView(View):
    """A role. Built-in ones are the same in every tenant, cannot be changed, and have version 0."""

    name: str
    description: str
    permissions: list[str]
    built_in: bool
    version: int
    created_at: datetime | None = None
    updated_at: datetime | None = None


class PermissionView(View):
    """A permission, and what it allows."""

    name: str
    description: str
