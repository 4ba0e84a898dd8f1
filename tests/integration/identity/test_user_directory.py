"""Who may see, make and change whom; roles; the last owner; optimistic locks."""

import asyncio
from typing import Any

import pytest

from voicehelper.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    VersionConflict,
    VoiceHelperError,
    WeakPassword,
)
from voicehelper.identity.model import User, UserChange, UserQuery
from voicehelper.stores.postgres.identity import PostgresUsers

PASSWORD = "Correct-Horse-7"


async def test_a_user_is_made_found_and_changed(house: Any) -> None:
    users, owner = house.accounts.users, house.principal(house.owner)
    user, shown = await users.create(owner, " Li.Ming@Example.com ", "李明", "member", None)
    assert (user.email, user.name, user.role, user.version) == ("li.ming@example.com", "李明", "member", 1)
    assert shown
    assert (await house.accounts.logins.login("li.ming@example.com", shown)).refresh_token
    changed = await users.change(owner, user.id, 1, UserChange(name="李 明", role="knowledge_editor"))
    assert (changed.name, changed.role, changed.version) == ("李 明", "knowledge_editor", 2)
    with pytest.raises(VersionConflict) as conflict:
        await users.change(owner, user.id, 1, UserChange(name="x"))
    assert conflict.value.details == {"version": 2}
    assert [found.id for found in await users.find(owner, UserQuery(text="明"))] == [user.id]
    assert [found.id for found in await users.find(owner, UserQuery(text="LI.MING@"))] == [user.id]
    assert await users.find(owner, UserQuery(text="%_")) == []
    actions = await house.actions(owner.tenant_id)
    assert actions == ["user.created", "session.created", "user.role_changed"]


async def test_pages_and_filters(house: Any) -> None:
    owner = house.principal(house.owner)
    made = [await house.person(f"u{i}@example.com") for i in range(5)]
    await house.accounts.users.change(owner, made[0].id, 1, UserChange(disabled=True))
    first = await house.accounts.users.find(owner, UserQuery(limit=4))
    rest = await house.accounts.users.find(owner, UserQuery(limit=4, before=first[-1].id))
    assert [user.id for user in [*first, *rest]] == [user.id for user in [*reversed(made), house.owner]]
    assert [user.id for user in await house.accounts.users.find(owner, UserQuery(disabled=True))] == [made[0].id]
    assert len(await house.accounts.users.find(owner, UserQuery(role="member"))) == 5


async def test_only_one_of_two_changes_of_the_same_version_wins(house: Any) -> None:
    owner, user = house.principal(house.owner), await house.person("a@example.com")
    changes = (house.accounts.users.change(owner, user.id, 1, UserChange(name=f"n{i}")) for i in range(8))
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, VersionConflict) for result in results) == 7


async def test_an_address_is_taken_everywhere(house: Any) -> None:
    await PostgresUsers(house.pool).create_admin("rival", "boss@rival.example", "x")
    with pytest.raises(Conflict):
        await house.person("boss@rival.example")
    with pytest.raises(InvalidInput):
        await house.person("new@example.com", "no-such-role")
    with pytest.raises(WeakPassword):
        await house.accounts.users.create(house.principal(house.owner), "li.ming@example.com", "", "member", "Li.Ming7")
    assert await house.pool.fetchval("SELECT count(*) FROM users") == 2


async def test_nobody_grants_or_touches_more_than_he_has(house: Any) -> None:
    users, roles = house.accounts.users, house.accounts.roles
    owner = house.principal(house.owner)
    admin = house.principal(await house.person("admin@example.com", "admin"))
    member = await house.person("member@example.com")
    for attempt in (
        users.create(admin, "x@example.com", "", "owner", None),
        users.change(admin, member.id, 1, UserChange(role="owner")),
        users.change(admin, admin.user_id, 1, UserChange(role="owner")),
        users.change(admin, house.owner.id, 1, UserChange(disabled=True)),
        users.reset_password(admin, house.owner.id, PASSWORD),
        users.log_out(admin, house.owner.id),
        roles.create(admin, "shadow", frozenset({"tenant:write"}), ""),
    ):
        with pytest.raises(Forbidden):
            await attempt
    denied = await house.pool.fetch("SELECT action, details FROM audit_logs WHERE outcome = 'denied' ORDER BY id")
    assert [row["action"] for row in denied] == [
        "user.created",
        "user.role_changed",
        "user.role_changed",
        "user.disabled",
        "user.password_reset",
        "sessions.ended",
        "role.created",
    ]
    assert denied[0]["details"] == {"missing": ["tenant:write"]}
    await roles.create(owner, "chief", frozenset({"tenant:write"}), "")
    for attempt in (
        roles.change(admin, "chief", 1, frozenset(), None),
        roles.delete(admin, "chief"),
        users.create(admin, "y@example.com", "", "chief", None),
    ):
        with pytest.raises(Forbidden):
            await attempt
    key = house.principal(house.owner, kind="key", permissions=frozenset({"users:write", "profile:read"}))
    with pytest.raises(Forbidden):  # a key of the owner's is not the owner
        await users.change(key, member.id, 1, UserChange(disabled=True))


async def test_the_platforms_owner_is_beyond_another_owner(house: Any) -> None:
    other = house.principal(await house.person("second@example.com", "owner"))
    with pytest.raises(Forbidden):
        await house.accounts.users.change(other, house.owner.id, 1, UserChange(disabled=True))


@pytest.mark.parametrize("change", [UserChange(disabled=True), UserChange(role="member")])
async def test_the_last_owner_stays(house: Any, change: UserChange) -> None:
    owner = house.principal(house.owner)
    with pytest.raises(Conflict):
        await house.accounts.users.change(owner, house.owner.id, 1, change)
    second = await house.person("second@example.com", "owner")
    await house.accounts.users.change(owner, second.id, 1, UserChange(disabled=True))
    with pytest.raises(Conflict):  # a disabled owner is none
        await house.accounts.users.change(owner, house.owner.id, 1, change)


async def test_two_owners_cannot_both_leave_at_once(house: Any) -> None:
    owner, second = house.principal(house.owner), await house.person("second@example.com", "owner")
    for _ in range(5):
        present = [await house.accounts.users.get(owner, user_id) for user_id in (house.owner.id, second.id)]
        leaving = (
            house.accounts.users.change(owner, user.id, user.version, UserChange(role="member")) for user in present
        )
        results = await asyncio.gather(*leaving, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Conflict", "User"]
        await house.pool.execute("UPDATE users SET role = 'owner'")


async def test_who_is_disabled_or_reset_is_logged_out(house: Any) -> None:
    owner, user = house.principal(house.owner), await house.person("a@example.com")
    await house.accounts.logins.login("a@example.com", PASSWORD)
    for _ in range(6):
        with pytest.raises(VoiceHelperError):
            await house.accounts.logins.login("a@example.com", "wrong")
    fresh = await house.accounts.users.reset_password(owner, user.id, None)
    assert (await house.accounts.logins.login("a@example.com", fresh)).access_token  # no longer locked out
    await house.accounts.sessions.end_all(house.principal(user), user.id, "logout_everywhere")
    assert await house.accounts.sessions.of(house.principal(user)) == []
    changes = await house.pool.fetch("SELECT kind FROM identity_changes ORDER BY id")
    assert [row["kind"] for row in changes] == ["session", "session"]
    present = await house.accounts.users.get(owner, user.id)
    await house.accounts.users.change(owner, user.id, present.version, UserChange(disabled=True))
    assert "user.disabled" in await house.actions()


async def test_another_tenants_people_do_not_exist(house: Any) -> None:
    stranger = await PostgresUsers(house.pool).create_admin("rival", "boss@rival.example", "x")
    owner = house.principal(house.owner)
    for attempt in (
        house.accounts.users.get(owner, stranger.id),
        house.accounts.users.change(owner, stranger.id, 1, UserChange(disabled=True)),
        house.accounts.users.reset_password(owner, stranger.id, None),
        house.accounts.users.log_out(owner, stranger.id),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_roles_of_a_tenant(house: Any) -> None:
    roles, owner = house.accounts.roles, house.principal(house.owner)
    made = await roles.create(owner, "auditor", frozenset({"audit:read"}), "看日志")
    assert (made.version, made.built_in) == (1, False)
    changed = await roles.change(owner, "auditor", 1, frozenset({"audit:read", "users:read"}), None)
    assert (changed.version, changed.description) == (2, "看日志")
    with pytest.raises(VersionConflict):
        await roles.change(owner, "auditor", 1, None, "x")
    names = [role.name for role in await roles.all(owner)]
    assert names == ["owner", "admin", "knowledge_editor", "agent_operator", "member", "end_customer", "auditor"]
    for attempt in (
        roles.create(owner, "auditor", frozenset(), ""),
        roles.create(owner, "member", frozenset(), ""),
        roles.change(owner, "member", 0, frozenset(), None),
        roles.delete(owner, "owner"),
    ):
        with pytest.raises(Conflict):
            await attempt
    for unknown in ("platform:write", "no:such"):
        with pytest.raises(InvalidInput):
            await roles.create(owner, "x", frozenset({unknown}), "")
    await roles.delete(owner, "auditor")
    with pytest.raises(NotFound):
        await roles.get(owner, "auditor")
    assert await house.actions() == ["role.created", "role.changed", "role.deleted"]


async def test_a_role_cannot_vanish_under_a_new_user(house: Any) -> None:
    owner = house.principal(house.owner)
    for number in range(5):
        await house.accounts.roles.create(owner, "temp", frozenset({"profile:read"}), "")
        made: Any
        deleted: Any
        made, deleted = await asyncio.gather(
            house.person(f"t{number}@example.com", "temp"),
            house.accounts.roles.delete(owner, "temp"),
            return_exceptions=True,
        )
        assert isinstance(made, User) == isinstance(deleted, Conflict), (made, deleted)
        await house.pool.execute("DELETE FROM users WHERE role = 'temp'")
        await house.pool.execute("DELETE FROM roles")


async def test_what_is_refused_leaves_no_trace_but_the_refusal(house: Any) -> None:
    """A user and his audit entry are one transaction."""
    owner = house.principal(house.owner)
    await house.person("a@example.com")
    with pytest.raises(Conflict):
        await house.person("a@example.com")
    assert (await house.actions(owner.tenant_id)).count("user.created") == 1


async def test_administrators_of_the_platform_make_each_other_and_the_last_one_stays(house: Any) -> None:
    users, owner = house.accounts.users, house.principal(house.owner)
    second = await house.person("second@example.com", "owner")
    with pytest.raises(Forbidden):
        await users.change(house.principal(second), second.id, 1, UserChange(platform=True))
    for change in (UserChange(disabled=True), UserChange(platform=False)):
        with pytest.raises(Conflict):
            await users.change(owner, house.owner.id, 1, change)
    second = await users.change(owner, second.id, 1, UserChange(platform=True))
    assert second.platform
    first = await users.change(house.principal(second), house.owner.id, 1, UserChange(platform=False))
    assert not first.platform
    with pytest.raises(Conflict):
        await users.change(house.principal(second), second.id, 2, UserChange(disabled=True))
    actions = await house.actions()
    assert actions.count("user.platform_granted") == 2  # one of them denied
    assert actions[-1] == "user.platform_withdrawn"
