"""API keys, visitors and tenants on real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from voicehelper.errors import Conflict, Forbidden, InvalidInput, NotFound, VersionConflict
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.tenants import TenantChange, TenantQuery
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import connection
from voicehelper.stores.postgres.identity import PostgresUsers

READ = frozenset({"knowledge:read"})


async def test_a_key_is_shown_once_and_stored_as_a_hash(house: Any) -> None:
    owner = house.principal(house.owner)
    key, text = await house.accounts.api_keys.create(owner, "import", READ, None)
    parsed = API_KEY.parse(text)
    assert parsed
    row = await house.pool.fetchrow("SELECT * FROM api_keys")
    assert (row["id"], row["secret_hash"]) == (parsed.id, parsed.secret_hash)
    assert text not in repr(dict(row))
    assert await house.accounts.api_keys.get(owner, key.id) == key
    assert await house.accounts.api_keys.find(owner) == [key]
    assert await house.accounts.api_keys.find(owner, user_id=new_id()) == []


async def test_a_revoked_key_is_gone_and_replicas_know(house: Any) -> None:
    owner = house.principal(house.owner)
    key, _ = await house.accounts.api_keys.create(owner, "import", READ, None)
    await house.accounts.api_keys.revoke(owner, key.id)
    for attempt in (house.accounts.api_keys.get(owner, key.id), house.accounts.api_keys.revoke(owner, key.id)):
        with pytest.raises(NotFound):
            await attempt
    change = await house.pool.fetchrow("SELECT kind, subject, seq FROM identity_changes")
    assert (change["kind"], change["subject"]) == ("key", str(key.id))
    assert change["seq"] is not None
    assert await house.actions() == ["api_key.created", "api_key.revoked"]


async def test_a_key_cannot_do_or_outlive_more_than_its_maker(house: Any) -> None:
    keys, owner = house.accounts.api_keys, house.principal(house.owner)
    soon = datetime.fromtimestamp(house.clock.time, UTC) + timedelta(hours=1)
    machine = house.principal(
        house.owner, kind="key", key_id=new_id(), permissions=READ | {"keys:write"}, expires_at=soon.timestamp()
    )
    with pytest.raises(Forbidden):
        await keys.create(machine, "x", frozenset({"users:write"}), soon)
    for end in (None, soon + timedelta(seconds=1)):
        with pytest.raises(InvalidInput):
            await keys.create(machine, "x", READ, end)
    made, _ = await keys.create(machine, "x", READ, soon)
    assert made.user_id == house.owner.id
    with pytest.raises(InvalidInput):
        await keys.create(owner, "x", READ, soon - timedelta(hours=2))
    for unknown in ("no:such", "platform:write"):
        with pytest.raises(InvalidInput):
            await keys.create(owner, "x", frozenset({unknown}), None)
    entry = await house.pool.fetchrow("SELECT actor_kind, actor_id, details FROM audit_logs")
    assert (entry["actor_kind"], entry["actor_id"]) == ("key", machine.key_id)
    assert entry["details"]["user_id"] == str(house.owner.id)


async def test_who_may_revoke_whose(house: Any) -> None:
    keys, owner = house.accounts.api_keys, house.principal(house.owner)
    admin = house.principal(await house.person("admin@example.com", "admin"))
    strong, _ = await keys.create(owner, "strong", frozenset({"tenant:write"}), None)
    weak, _ = await keys.create(owner, "weak", READ, None)
    with pytest.raises(Forbidden):
        await keys.revoke(admin, strong.id)
    await keys.revoke(admin, weak.id)
    stranger = house.principal(await PostgresUsers(house.pool).create_admin("rival", "boss@rival.example", "x"))
    with pytest.raises(NotFound):
        await keys.revoke(stranger, strong.id)
    assert await keys.find(stranger) == []


def opening(house: Any) -> Any:
    async def begin(tenant_id: UUID, visitor_id: UUID) -> UUID:
        conversation_id = new_id()
        async with connection(house.pool, tenant_id) as conn:
            await conn.execute(
                "INSERT INTO conversations (id, tenant_id, user_id) VALUES ($1, $2, $3)",
                conversation_id,
                tenant_id,
                visitor_id,
            )
        return conversation_id

    return begin


async def test_a_visitor_comes_stays_and_goes(house: Any) -> None:
    visitors, owner = house.accounts.visitors, house.principal(house.owner)
    token = await visitors.welcome(owner, opening(house), None)
    assert token.expires_in == 3600
    again = await visitors.renew(owner, token.conversation_id, 60)
    assert (again.visitor_id, again.expires_in) == (token.visitor_id, 60)
    with pytest.raises(InvalidInput):
        await visitors.welcome(owner, opening(house), 3601)
    await visitors.dismiss(owner, token.conversation_id)
    for attempt in (
        visitors.dismiss(owner, token.conversation_id),
        visitors.renew(owner, token.conversation_id, None),
        visitors.renew(owner, new_id(), None),
    ):
        with pytest.raises(NotFound):
            await attempt
    changes = {(row["kind"], row["subject"]) for row in await house.pool.fetch("SELECT * FROM identity_changes")}
    assert changes == {("user", str(token.visitor_id)), ("session", str(token.conversation_id))}
    assert await house.actions() == ["visitor.admitted", "visitor.readmitted", "visitor.dismissed"]


async def test_a_visitor_whose_conversation_fails_was_never_there(house: Any) -> None:
    async def refuse(tenant_id: UUID, visitor_id: UUID) -> UUID:
        raise NotFound("No such knowledge base")

    with pytest.raises(NotFound):
        await house.accounts.visitors.welcome(house.principal(house.owner), refuse, None)
    assert await house.pool.fetchval("SELECT count(*) FROM users") == 1
    assert await house.actions() == []


async def test_visitors_are_no_people(house: Any) -> None:
    owner = house.principal(house.owner)
    token = await house.accounts.visitors.welcome(owner, opening(house), None)
    with pytest.raises(NotFound):
        await house.accounts.users.get(owner, token.visitor_id)
    people = await house.pool.fetchval("SELECT count(*) FROM users WHERE kind = 'person'")
    assert people == 1
    visitor = house.principal(await PostgresUsers(house.pool).get(owner.tenant_id, token.visitor_id), kind="visitor")
    with pytest.raises(Forbidden):
        await house.accounts.api_keys.create(visitor, "x", frozenset({"conversations:read"}), None)


async def test_tenants(house: Any) -> None:
    tenants, owner = house.accounts.tenants, house.principal(house.owner)
    tenant, boss, shown = await tenants.create(owner, "Rival 有限公司", "Boss@Rival.example", None)
    assert (boss.email, boss.role, boss.platform, tenant.version) == ("boss@rival.example", "owner", False, 1)
    assert await house.accounts.logins.login("boss@rival.example", shown)
    assert [found.name for found in await tenants.find(TenantQuery())] == ["Rival 有限公司", "default"]
    assert [found.id for found in await tenants.find(TenantQuery(text="有限"))] == [tenant.id]
    for attempt in (
        tenants.create(owner, "Rival 有限公司", "x@rival.example", None),
        tenants.create(owner, "Other", "boss@rival.example", None),
        tenants.change(owner, tenant.id, 1, TenantChange(name="default")),
        tenants.change(owner, owner.tenant_id, 1, TenantChange(disabled=True)),
    ):
        with pytest.raises(Conflict):
            await attempt
    assert len(await tenants.find(TenantQuery())) == 2  # the failed one left no tenant behind
    shut = await tenants.change(owner, tenant.id, 1, TenantChange(disabled=True))
    assert (shut.disabled, shut.version) == (True, 2)
    with pytest.raises(VersionConflict):
        await tenants.change(owner, tenant.id, 1, TenantChange(disabled=False))
    with pytest.raises(NotFound):
        await tenants.change(owner, new_id(), 1, TenantChange(disabled=True))
    change = await house.pool.fetchrow("SELECT kind, tenant_id, subject, seq FROM identity_changes")
    assert (change["kind"], change["tenant_id"], change["subject"]) == ("tenant", tenant.id, str(tenant.id))
    assert change["seq"] is not None
    assert await house.actions(owner.tenant_id) == ["tenant.created", "tenant.disabled"]


async def test_a_tenant_renames_itself(house: Any) -> None:
    owner = house.principal(house.owner)
    present = await house.accounts.tenants.own(owner)
    renamed = await house.accounts.tenants.change_own(owner, present.version, "新名字")
    assert (renamed.name, renamed.version) == ("新名字", 2)
    with pytest.raises(VersionConflict):
        await house.accounts.tenants.change_own(owner, 1, "x")
