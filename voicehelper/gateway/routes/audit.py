"""The audit log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.identity.audit import AuditQuery, AuditRecord
from voicehelper.wire.audit import AuditView, OutcomeName
from voicehelper.wire.common import Line, Page
from voicehelper.wire.times import Moment

router = APIRouter(tags=["audit"])


@router.get("/audit-logs", summary="The audit log, newest first", dependencies=[requires("audit:read")])
async def list_audit_logs(  # noqa: PLR0917 - one argument per query parameter
    caller: Caller,
    services: Wired,
    action: Annotated[Line | None, Query(description="`login.failed`, `role.changed` ...")] = None,
    actor_id: Annotated[UUID | None, Query(description="User, visitor or API key")] = None,
    resource: Annotated[Line | None, Query(description="`user`, `session`, `role`, `api_key` ...")] = None,
    resource_id: Annotated[Line | None, Query()] = None,
    outcome: Annotated[OutcomeName | None, Query()] = None,
    since: Annotated[Moment | None, Query(description="Not before")] = None,
    until: Annotated[Moment | None, Query(description="Before")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AuditView]:
    """What happened in the caller's tenant. Nothing in it can be changed or removed, by anybody."""
    before = decode_id(cursor)
    query = AuditQuery(action, actor_id, resource, resource_id, outcome, since, until, before, limit + 1)
    found = await services.accounts.audit.find(caller.tenant_id, query)
    return page_of(found, limit, lambda record: record.entry.id, _view)


def _view(record: AuditRecord) -> AuditView:
    entry = record.entry
    return AuditView(
        id=entry.id,
        at=record.at,
        action=entry.action,
        outcome=entry.outcome,
        actor_kind=entry.actor_kind,
        actor_id=entry.actor_id,
        resource=entry.resource,
        resource_id=entry.resource_id,
        details=entry.details,
        address=record.address,
        request_id=record.request_id,
        trace_id=record.trace_id,
    )
