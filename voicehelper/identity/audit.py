"""What is written down for good: logins, failures, changes of permissions, acts of administration."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from voicehelper.ids import new_id

Outcome = Literal["success", "failure", "denied"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. Holds ids, never addresses, names, texts or tokens of people.

    Attributes:
        tenant_id: whose log; None for a failed login of nobody we know.
        action: `resource.verb`, past tense: `session.created`, `user.disabled`, `login.failed` ...
        actor_kind: `user`, `key`, `visitor`, `system` or `anonymous`.
        resource, resource_id: what was acted on.
        details: JSON-ready facts without personal data.
    """

    tenant_id: UUID | None
    action: str
    actor_kind: str
    actor_id: UUID | None = None
    resource: str = ""
    resource_id: str = ""
    outcome: Outcome = "success"
    details: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as stored: with when, from where (the network part of the address) and in which request."""

    entry: AuditEntry
    at: datetime
    address: str
    request_id: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which records; newest first. `before` is the id of the last one of the page before."""

    action: str | None = None
    actor_id: UUID | None = None
    resource: str | None = None
    resource_id: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: UUID | None = None
    limit: int = 50


class AuditLog(Protocol):
    """Adds and reads; nothing can be changed or removed. Raises `Unavailable`.

    `record` takes address, request id and trace id from the current `RequestContext`, and writes within the request's
    transaction where there is one.
    """

    async def record(self, entry: AuditEntry) -> None:
        """Write the entry down."""
        ...

    async def find(self, tenant_id: UUID, query: AuditQuery) -> list[AuditRecord]:
        """The tenant's records that match."""
        ...
