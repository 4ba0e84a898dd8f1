"""What every use case of identity shares: who acts, in which transaction, and what may be granted."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from voicehelper.errors import Forbidden
from voicehelper.identity.audit import AuditEntry, AuditLog, Outcome
from voicehelper.identity.model import Principal
from voicehelper.ports.clock import Clock

UnitOfWork = Callable[[UUID], AbstractAsyncContextManager[object]]
"""Opens a transaction of a tenant: what repositories and the audit log write within is committed together or not at
all. (`guard.request_transaction`.)"""


@dataclass(frozen=True, slots=True)
class Acts:
    """Where acts are done and written down."""

    audit: AuditLog
    unit: UnitOfWork
    clock: Clock

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    async def require(
        self, by: Principal, permissions: frozenset[str], action: str, resource: str, resource_id: object = ""
    ) -> None:
        """Nobody grants, or rules over, what he has not: without one of `permissions` the attempt is written down.

        Raises:
            Forbidden: `details["missing"]` lists what is missing.
        """
        missing = sorted(permissions - by.permissions)
        if missing:
            denied = act_of(by, action, resource, resource_id, missing=missing)
            await self.audit.record(replace(denied, outcome="denied"))
            raise Forbidden("This needs permissions that you have not", {"missing": missing})


def act_of(by: Principal, action: str, resource: str, resource_id: object, **details: Any) -> AuditEntry:
    """An entry for the log of the tenant of `by`. `details` hold no personal data; an API key's acts name its user."""
    if by.kind == "key":
        details["user_id"] = str(by.user_id)
    return AuditEntry(
        tenant_id=by.tenant_id,
        action=action,
        actor_kind=by.kind,
        actor_id=by.key_id if by.kind == "key" else by.user_id,
        resource=resource,
        resource_id=str(resource_id),
        details=details,
    )


def anonymous_act(
    tenant_id: UUID | None, action: str, user_id: UUID | None, outcome: Outcome, **why: Any
) -> AuditEntry:
    """An entry about somebody who has not proved who he is."""
    return AuditEntry(
        tenant_id=tenant_id,
        action=action,
        actor_kind="anonymous",
        resource="user" if user_id else "",
        resource_id=str(user_id or ""),
        outcome=outcome,
        details=why,
    )
