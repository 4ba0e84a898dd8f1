"""The audit log on a real server: written with the request's facts, read back in pages, never changed."""

import asyncpg
import pytest

from voicehelper.context import RequestContext, use_context
from voicehelper.identity.audit import AuditEntry, AuditQuery
from voicehelper.ids import new_id
from voicehelper.stores.postgres.audit import PostgresAuditLog, network_of
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.stores.postgres.pool import Pool


@pytest.fixture
def audit(pool: Pool) -> PostgresAuditLog:
    return PostgresAuditLog(pool)


async def test_an_entry_comes_back_with_the_facts_of_its_request(audit: PostgresAuditLog) -> None:
    tenant, actor = new_id(), new_id()
    entry = AuditEntry(tenant, "user.disabled", "user", actor, "user", str(new_id()), details={"version": 3})
    with use_context(RequestContext(address="203.0.113.77", request_id="r-1", trace_id="a" * 32)):
        await audit.record(entry)
    [record] = await audit.find(tenant, AuditQuery())
    assert record.entry == entry
    assert (record.address, record.request_id, record.trace_id) == ("203.0.113.0/24", "r-1", "a" * 32)


async def test_personal_data_in_details_is_not_stored(audit: PostgresAuditLog, pool: Pool) -> None:
    tenant = new_id()
    details = {"note": "call 13812345678 or wang@example.com", "password": "Abc12345", "nested": [{"token": "x" * 30}]}
    await audit.record(AuditEntry(tenant, "role.changed", "user", new_id(), details=details))
    text = await pool.fetchval("SELECT details::text FROM audit_logs")
    assert not any(secret in text for secret in ("13812345678", "wang@", "Abc12345", "xxxx"))


async def test_pages_and_filters(audit: PostgresAuditLog) -> None:
    tenant, actor = new_id(), new_id()
    entries = [AuditEntry(tenant, f"a.{i % 2}", "user", actor if i % 3 == 0 else None) for i in range(10)]
    for entry in [*entries, AuditEntry(new_id(), "a.0", "user", actor)]:
        await audit.record(entry)
    first = await audit.find(tenant, AuditQuery(limit=6))
    rest = await audit.find(tenant, AuditQuery(limit=6, before=first[-1].entry.id))
    assert [record.entry.id for record in first + rest] == [entry.id for entry in reversed(entries)]
    assert len(await audit.find(tenant, AuditQuery(action="a.0", actor_id=actor))) == 2


async def test_a_failed_login_of_nobody_we_know_belongs_to_no_tenant(audit: PostgresAuditLog, pool: Pool) -> None:
    await audit.record(AuditEntry(None, "login.failed", "anonymous", outcome="failure"))
    assert await pool.fetchval("SELECT count(*) FROM audit_logs WHERE tenant_id IS NULL") == 1
    assert await audit.find(new_id(), AuditQuery()) == []


async def test_an_entry_shares_the_fate_of_the_act(audit: PostgresAuditLog, pool: Pool) -> None:
    tenant = new_id()
    with pytest.raises(RuntimeError):
        async with request_transaction(pool, tenant):
            await audit.record(AuditEntry(tenant, "user.created", "user"))
            await audit.record(AuditEntry(None, "login.failed", "anonymous"))
            raise RuntimeError
    assert await pool.fetchval("SELECT count(*) FROM audit_logs") == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_logs SET action = 'x'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"]
)
async def test_nothing_can_be_changed_or_removed(audit: PostgresAuditLog, pool: Pool, statement: str) -> None:
    await audit.record(AuditEntry(new_id(), "user.created", "user"))
    with pytest.raises(asyncpg.RaiseError, match="can only be added to"):
        await pool.execute(statement)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:abcd:12::1", "2001:db8:abcd::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("testclient", ""),
    ],
)
def test_only_the_network_part_of_an_address_is_kept(address: str, network: str) -> None:
    assert network_of(address) == network
