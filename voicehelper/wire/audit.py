"""The audit log."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from voicehelper.wire.common import View

OutcomeName = Literal["success", "failure", "denied"]


class AuditView(View):
    """One act."""

    id: UUID
    at: datetime
    action: str = Field(description="`resource.verb`: `session.created`, `login.failed`, `role.changed` ...")
    outcome: OutcomeName
    actor_kind: str = Field(description="`user`, `key`, `visitor`, `system` or `anonymous`")
    actor_id: UUID | None
    resource: str
    resource_id: str
    details: dict[str, Any]
    address: str = Field(description="The network it came from")
    request_id: str
    trace_id: str
