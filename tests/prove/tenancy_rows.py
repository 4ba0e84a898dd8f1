"""The rows of a tenant, straight from PostgreSQL: what ids it has, and whether anything of it has changed."""

from typing import Any

import asyncpg

from tests.prove.tenancy_things import KINDS, OWN, UUID_TEXT, Tenant

EMPTIED = {"outbox", "identity_changes", "keyword_changes"}  # in the background


_ROW = "(to_jsonb(t) - 'last_used_at')::text"  # a key's last use is written down a little later


class Rows:
    """Reads past every wall, over connections of the harness's own."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def note_ids(self, tenant: Tenant) -> None:
        """Read what ids the tenant has now."""
        for kind, query in KINDS.items():
            tenant.ids[kind] = [row[0] for row in await self.pool.fetch(query, tenant.id)]
        for party in tenant.parties.values():
            party.ids = dict(tenant.ids)
            for kind, query in OWN.items():
                party.ids[kind] = [row[0] for row in await self.pool.fetch(query, tenant.id, party.user_id)]
        tenant.every_id = frozenset(await self._every_id(tenant))

    async def last_audit(self) -> str:
        """The id of the newest audit record; of nobody where there is none."""
        return str(await self.pool.fetchval("SELECT coalesce(max(id::text), repeat('0', 32)) FROM audit_logs"))

    async def tables(self) -> list[str]:
        """Tables whose rows belong to tenants."""
        rows = await self.pool.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND column_name = 'tenant_id' ORDER BY 1"
        )
        return [row[0] for row in rows]

    async def _every_id(self, tenant: Tenant) -> set[str]:
        found = {tenant.id}
        for table in await self.tables():
            rows = await self.pool.fetch(f"SELECT t::text FROM {table} t WHERE tenant_id = $1", tenant.id)
            for row in rows:
                found |= set(UUID_TEXT.findall(row[0]))
        return found

    async def fingerprint(self, tenant: Tenant, until: str) -> dict[str, str]:
        """A checksum of the tenant's rows by table. Of the audit log only what was there at the id `until`: attempts on
        a tenant's accounts are written into it."""
        found = {}
        for table in await self.tables():
            if table in EMPTIED:
                continue
            bound = "AND id <= $2::uuid" if table == "audit_logs" else "AND $2::text IS NOT NULL"
            found[table] = await self._digest(f"FROM {table} t WHERE tenant_id = $1 {bound}", tenant, until)
        found["tenants"] = await self._digest("FROM tenants t WHERE id = $1 AND $2::text IS NOT NULL", tenant, until)
        return found

    async def _digest(self, where: str, tenant: Tenant, until: str) -> str:
        query = f"SELECT count(*) || ' ' || coalesce(md5(string_agg(md5({_ROW}), '' ORDER BY md5({_ROW}))), '') {where}"
        return str(await self.pool.fetchval(query, tenant.id, until))


async def open_pool(dsn: str) -> Any:
    """Connections of the harness's own, past every wall."""
    return await asyncpg.create_pool(dsn, min_size=1, max_size=4)
