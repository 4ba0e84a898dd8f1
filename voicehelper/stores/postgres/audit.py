"""The audit log in PostgreSQL: rows are added and read. A trigger refuses all else, and no role is granted it."""

import ipaddress
from typing import Any
from uuid import UUID

import asyncpg

from voicehelper.context import current_context
from voicehelper.identity.audit import AuditEntry, AuditQuery, AuditRecord
from voicehelper.stores.postgres.guard import SYSTEM, connection
from voicehelper.stores.postgres.pool import Pool
from voicehelper.telemetry.redaction import redact, redact_value

_INSERT = """
INSERT INTO audit_logs (id, tenant_id, actor_kind, actor_id, action, resource, resource_id, outcome, details,
                        address, request_id, trace_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_FIND = """
SELECT id, tenant_id, at, actor_kind, actor_id, action, resource, resource_id, outcome, details, address, request_id,
       trace_id
FROM audit_logs
WHERE tenant_id = $1 AND ($2::text IS NULL OR action = $2) AND ($3::uuid IS NULL OR actor_id = $3)
  AND ($4::text IS NULL OR resource = $4) AND ($5::text IS NULL OR resource_id = $5)
  AND ($6::text IS NULL OR outcome = $6) AND ($7::timestamptz IS NULL OR at >= $7)
  AND ($8::timestamptz IS NULL OR at < $8) AND ($9::uuid IS NULL OR id < $9)
ORDER BY id DESC LIMIT $10"""


class PostgresAuditLog:
    """`identity.audit.AuditLog` on the table `audit_logs`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, entry: AuditEntry) -> None:
        """See `AuditLog`."""
        context = current_context()
        async with connection(self._pool, entry.tenant_id or SYSTEM) as conn:
            await conn.execute(
                _INSERT,
                entry.id,
                entry.tenant_id,
                entry.actor_kind,
                entry.actor_id,
                entry.action,
                entry.resource,
                redact(entry.resource_id),
                entry.outcome,
                redact_value("details", entry.details),
                network_of(context.address),
                redact(context.request_id),
                context.trace_id,
            )

    async def find(self, tenant_id: UUID, query: AuditQuery) -> list[AuditRecord]:
        """See `AuditLog`."""
        async with connection(self._pool, tenant_id) as conn:
            rows = await conn.fetch(
                _FIND,
                tenant_id,
                query.action,
                query.actor_id,
                query.resource,
                query.resource_id,
                query.outcome,
                query.since,
                query.until,
                query.before,
                query.limit,
            )
        return [_record(row) for row in rows]


def network_of(address: str) -> str:
    """The network part of an IP address (/24, or /48 of IPv6), which tells no single person; empty for no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 48), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24), strict=False))


def _record(row: asyncpg.Record) -> AuditRecord:
    values: dict[str, Any] = dict(row)
    stored = {name: values.pop(name) for name in ("at", "address", "request_id", "trace_id")}
    return AuditRecord(entry=AuditEntry(**values), **stored)
