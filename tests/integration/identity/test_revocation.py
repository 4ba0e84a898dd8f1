"""Revocation on every replica within a second: two authenticators over one database, in real time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import REGISTRY

from voicehelper.config import Settings
from voicehelper.embedded.ports import random_port
from voicehelper.errors import TokenExpired, TokenRevoked, Unauthenticated, Unavailable, VoiceHelperError
from voicehelper.identity import User
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.identity.standing import UserFacts
from voicehelper.ids import new_id
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.guard import SYSTEM, connection, request_transaction, transaction
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.principal_cache import RedisStandingCache
from voicehelper.stores.redis import connect_redis, tenant_key


@dataclass
class Replica:
    """One process of several: a pool and a memory of its own."""

    pool: Pool
    wakeups: Wakeups
    stack: AuthenticationStack
    running: asyncio.Task[None]

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.wakeups.close()
        await self.pool.close()


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start(postgres_dsn: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start another replica."""
    replicas: list[Replica] = []
    link = connect_redis(redis_url)

    async def begin(redis: bool = True) -> Replica:
        pool = await create_pool(postgres_dsn, max_size=4)
        wakeups = Wakeups(pool)
        stack = authentication(Settings(home=tmp_path), pool, wakeups, link if redis else None, SystemClock())
        await stack.start()
        replicas.append(Replica(pool, wakeups, stack, asyncio.create_task(stack.run())))
        return replicas[-1]

    yield begin
    for replica in replicas:
        await replica.stop()
    await link.close()


@pytest.fixture
async def user(pool: Pool) -> User:
    owner = await PostgresUsers(pool).create_admin("acme", "owner@example.com", "x")
    user = User(new_id(), owner.tenant_id, "member@example.com", "x", "member")
    await pool.execute(
        "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, 'm@example.com', 'x', 'member')",
        user.id,
        user.tenant_id,
    )
    return user


async def change(pool: Pool, user: User, kind: str, subject: UUID | str, sql: str = "", *arguments: object) -> None:
    """What a use case does: change and record, in one transaction of the tenant."""
    async with request_transaction(pool, user.tenant_id) as conn:
        if sql:
            await conn.execute(sql, *arguments)
        await record_change(conn, kind, user.tenant_id, subject, 3600)


async def until(holds: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until it holds; fails after one."""
    started = time.monotonic()
    async with asyncio.timeout(1.0):
        while not await holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    return time.monotonic() - started


def refused(replica: Replica, credential: str, error: type[VoiceHelperError]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        try:
            await replica.stack.authenticator.authenticate(credential)
        except error:
            return True
        return False

    return holds


async def test_a_revoked_session_ends_on_every_replica_within_a_second(start: Start, user: User) -> None:
    ours, theirs = await start(), await start()
    session, other = new_id(), new_id()
    token = ours.stack.issuer.issue(user, session).token
    stays = ours.stack.issuer.issue(user, other).token
    for replica in (ours, theirs):
        principal = await replica.stack.authenticator.authenticate(token)
        assert (principal.session_id, principal.kind, principal.permissions) == (session, "user", BUILT_IN["member"])
        await replica.stack.authenticator.authenticate(stays)
    refusal = asyncio.create_task(theirs.stack.authenticator.until_refused(principal))
    await change(ours.pool, user, "session", session)
    for replica in (ours, theirs):
        assert await until(refused(replica, token, TokenRevoked)) < 1
        with pytest.raises(TokenRevoked):
            await replica.stack.authenticator.check(principal)
        await replica.stack.authenticator.authenticate(stays)
    assert isinstance(await asyncio.wait_for(refusal, 1), TokenRevoked)
    newcomer = await start()
    with pytest.raises(TokenRevoked):
        await newcomer.stack.authenticator.authenticate(token)


async def test_without_a_notification_the_poll_finds_it_within_a_second(start: Start, user: User) -> None:
    replica = await start()
    session = new_id()
    token = replica.stack.issuer.issue(user, session).token
    await replica.stack.authenticator.authenticate(token)
    async with transaction(replica.pool, SYSTEM) as conn:
        await conn.execute(
            "INSERT INTO identity_changes (tenant_id, kind, subject, expires_at)"
            " VALUES ($1, 'session', $2, now() + interval '1 hour')",
            user.tenant_id,
            str(session),
        )
    assert await until(refused(replica, token, TokenRevoked)) < 1


async def test_a_role_change_shows_and_logs_nobody_out(start: Start, user: User, pool: Pool) -> None:
    ours, theirs = await start(), await start()
    token = ours.stack.issuer.issue(user, new_id()).token
    for replica in (ours, theirs):
        assert not (await replica.stack.authenticator.authenticate(token)).may("users:write")

    def shows(permission: str, role: str) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            found = [await replica.stack.authenticator.authenticate(token) for replica in (ours, theirs)]
            return all((each.may(permission), each.role) == (True, role) for each in found)

        return holds

    sql = "UPDATE users SET role = $2 WHERE id = $1"
    await change(pool, user, "user", user.id, sql, user.id, "admin")
    await until(shows("users:write", "admin"))
    await pool.execute(
        "INSERT INTO roles (tenant_id, name, permissions) VALUES ($1, 'clerk', '{audit:read,platform:write,nonsense}')",
        user.tenant_id,
    )
    await change(pool, user, "user", user.id, sql, user.id, "clerk")
    await until(shows("audit:read", "clerk"))
    principal = await ours.stack.authenticator.authenticate(token)
    assert principal.permissions == {"audit:read"}
    await change(pool, user, "role", "clerk", "UPDATE roles SET permissions = '{keys:read}' WHERE name = 'clerk'")
    await until(shows("keys:read", "clerk"))
    await change(pool, user, "role", "clerk", "DELETE FROM roles")
    async with asyncio.timeout(1):
        while (await theirs.stack.authenticator.authenticate(token)).permissions:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("kind", "off", "on"),
    [
        ("user", "UPDATE users SET disabled = true", "UPDATE users SET disabled = false"),
        ("tenant", "UPDATE tenants SET disabled = true", "UPDATE tenants SET disabled = false"),
        ("user", "UPDATE users SET erased_at = now()", ""),
        ("user", "DELETE FROM users WHERE role = 'member'", ""),
    ],
)
async def test_who_is_disabled_is_refused(start: Start, user: User, pool: Pool, kind: str, off: str, on: str) -> None:
    replica = await start()
    token = replica.stack.issuer.issue(user, new_id()).token
    await replica.stack.authenticator.authenticate(token)
    subject = user.id if kind == "user" else user.tenant_id

    async def switch(sql: str) -> None:
        async with transaction(pool, SYSTEM) as conn:
            await conn.execute(sql)
            await record_change(conn, kind, user.tenant_id, subject, 3600)

    await switch(off)
    await until(refused(replica, token, TokenRevoked))
    if on:
        await switch(on)

        async def lets_in() -> bool:
            return not await refused(replica, token, TokenRevoked)()

        await until(lets_in)


async def test_only_platform_administrators_have_the_platforms_permission(start: Start, pool: Pool) -> None:
    replica = await start()
    first = await PostgresUsers(pool).create_admin("acme", "owner@example.com", "x")
    second = User(new_id(), first.tenant_id, "second@example.com", "x", "owner")
    await pool.execute(
        "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, 's@example.com', 'x', 'owner')",
        second.id,
        second.tenant_id,
    )
    for user, may in ((first, True), (second, False)):
        token = replica.stack.issuer.issue(user, new_id()).token
        assert (await replica.stack.authenticator.authenticate(token)).may("platform:write") is may


async def make_key(pool: Pool, user: User, permissions: set[str], expires: str = "NULL") -> tuple[UUID, str]:
    key_id = new_id()
    text, secret_hash = API_KEY.make(key_id)
    await pool.execute(
        "INSERT INTO api_keys (id, tenant_id, user_id, name, secret_hash, permissions, expires_at)"
        f" VALUES ($1, $2, $3, 'k', $4, $5, {expires})",
        key_id,
        user.tenant_id,
        user.id,
        secret_hash,
        sorted(permissions),
    )
    return key_id, text


async def test_an_api_key_may_what_both_it_and_its_user_may(start: Start, user: User, pool: Pool) -> None:
    replica = await start()
    key_id, text = await make_key(pool, user, {"conversations:read", "users:write"})
    principal = await replica.stack.authenticator.authenticate(text)
    assert (principal.kind, principal.key_id, principal.user_id) == ("key", key_id, user.id)
    assert principal.permissions == {"conversations:read"}
    assert await replica.stack.authenticator.check(principal) == principal
    await change(pool, user, "user", user.id, "UPDATE users SET role = 'admin' WHERE id = $1", user.id)

    async def may_more() -> bool:
        return (await replica.stack.authenticator.authenticate(text)).may("users:write")

    await until(may_more)
    await replica.stack.uses.write()
    used = await pool.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", key_id)
    await replica.stack.authenticator.authenticate(text)
    await replica.stack.uses.write()
    assert used is not None
    assert await pool.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", key_id) == used  # within the minute
    await change(pool, user, "key", key_id, "UPDATE api_keys SET revoked_at = now() WHERE id = $1", key_id)
    await until(refused(replica, text, TokenRevoked))
    with pytest.raises(TokenRevoked):
        await replica.stack.authenticator.check(principal)


async def test_bad_api_keys(start: Start, user: User, pool: Pool) -> None:
    replica = await start()
    authenticate = replica.stack.authenticator.authenticate
    key_id, text = await make_key(pool, user, {"conversations:read"})
    await authenticate(text)
    guess, _ = API_KEY.make(key_id)
    unknown, _ = API_KEY.make(new_id())
    for bad in (guess, unknown, text[:-1], text + "x", "vhk_", text.replace("vhk_", "vhr_")):
        with pytest.raises(Unauthenticated) as caught:
            await authenticate(bad)
        assert type(caught.value) is Unauthenticated
    _, late = await make_key(pool, user, {"conversations:read"}, "now() - interval '1 second'")
    with pytest.raises(TokenExpired):
        await authenticate(late)
    _, soon = await make_key(pool, user, {"conversations:read"}, "now() + interval '300 milliseconds'")
    await authenticate(soon)
    await until(refused(replica, soon, TokenExpired))


async def test_a_visitors_token_ends_with_its_conversation(start: Start, user: User, pool: Pool) -> None:
    replica = await start()
    visitor = User(new_id(), user.tenant_id, "", "", "end_customer")
    await pool.execute(
        "INSERT INTO users (id, tenant_id, role, kind) VALUES ($1, $2, 'end_customer', 'visitor')",
        visitor.id,
        visitor.tenant_id,
    )
    conversation = new_id()
    token = replica.stack.issuer.issue_visitor(visitor, conversation, 600).token
    principal = await replica.stack.authenticator.authenticate(token)
    assert (principal.kind, principal.conversation_id) == ("visitor", conversation)
    assert principal.permissions == BUILT_IN["end_customer"]
    for crossed in (
        replica.stack.issuer.issue(visitor, new_id()),
        replica.stack.issuer.issue_visitor(user, conversation, 600),
    ):
        with pytest.raises(Unauthenticated):
            await replica.stack.authenticator.authenticate(crossed.token)
    await change(pool, user, "session", conversation)
    await until(refused(replica, token, TokenRevoked))


async def test_a_user_of_another_tenant_is_nobody(start: Start, user: User, pool: Pool) -> None:
    replica = await start()
    rival = await PostgresUsers(pool).create_admin("rival", "rival@example.com", "x")
    await replica.stack.authenticator.authenticate(replica.stack.issuer.issue(user, new_id()).token)
    crossed = User(user.id, rival.tenant_id, "", "", "owner")
    for _ in range(2):
        with pytest.raises(TokenRevoked):
            await replica.stack.authenticator.authenticate(replica.stack.issuer.issue(crossed, new_id()).token)


async def test_changes_are_numbered_in_the_order_of_commits(start: Start, user: User, pool: Pool) -> None:
    """A transaction that began first and commits last must not slip in below what replicas have read."""
    replica = await start()
    slow, quick = new_id(), new_id()
    async with transaction(pool, user.tenant_id) as conn:
        await record_change(conn, "session", user.tenant_id, slow, 3600)
        await change(pool, user, "session", quick)
        token = replica.stack.issuer.issue(user, quick).token
        await until(refused(replica, token, TokenRevoked))
        assert not replica.stack.feed.revoked(slow)
    await until(refused(replica, replica.stack.issuer.issue(user, slow).token, TokenRevoked))


async def test_many_changes_at_once_are_all_seen_in_order(start: Start, user: User, pool: Pool) -> None:
    ours, theirs = await start(), await start()
    sessions = [new_id() for _ in range(60)]
    await asyncio.gather(*(change(pool, user, "session", session) for session in sessions))

    async def seen() -> bool:
        return all(replica.stack.feed.revoked(each) for replica in (ours, theirs) for each in sessions)

    await until(seen)
    async with connection(pool, SYSTEM) as conn:
        found = [row["seq"] for row in await conn.fetch("SELECT seq FROM identity_changes ORDER BY seq")]
    assert None not in found
    assert len(found) == 60


async def test_revocation_survives_the_loss_of_every_connection(start: Start, user: User, postgres_dsn: str) -> None:
    replica = await start()
    session = new_id()
    token = replica.stack.issuer.issue(user, session).token
    await replica.stack.authenticator.authenticate(token)
    admin = await asyncpg.connect(postgres_dsn)
    for _ in range(3):
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.05)
    async with admin.transaction():
        await record_change(admin, "session", user.tenant_id, session, 3600)
    await admin.close()
    assert await until(refused(replica, token, TokenRevoked)) < 1
    assert not replica.running.done()


async def test_nobody_is_let_in_while_changes_cannot_be_read(start: Start, user: User) -> None:
    replica = await start()
    token = replica.stack.issuer.issue(user, new_id()).token
    principal = await replica.stack.authenticator.authenticate(token)
    replica.running.cancel()
    replica.stack.feed._seen_at -= 5.1  # as if it had not been able to look for so long
    with pytest.raises(Unavailable) as caught:
        await replica.stack.authenticator.authenticate(token)
    assert caught.value.retry_after
    with pytest.raises(Unavailable):
        await replica.stack.authenticator.check(principal)
    await replica.stack.feed.poll()
    await replica.stack.authenticator.authenticate(token)


async def test_standings_are_shared_in_redis_and_never_believed_against_the_feed(
    start: Start, user: User, pool: Pool, redis_url: str
) -> None:
    ours = await start()
    token = ours.stack.issuer.issue(user, new_id()).token
    await ours.stack.authenticator.authenticate(token)
    link = connect_redis(redis_url)
    key = tenant_key(user.tenant_id, "user_cache", user.id)

    async def written() -> bool:
        return bool(await link.client.exists(key))

    await until(written)
    stored = await link.client.get(key)
    assert stored is not None
    assert 3500 < await link.client.ttl(key) <= 3600
    assert b"example.com" not in stored
    # what is in Redis is used: the database row is gone, and the replica is new
    await pool.execute("DELETE FROM users WHERE id = $1", user.id)
    theirs = await start()
    assert (await theirs.stack.authenticator.authenticate(token)).role == "member"
    # a change is not covered by it, even when a late writer puts the old entry back
    await change(pool, user, "user", user.id)
    await link.client.set(key, stored)
    for replica in (ours, theirs):
        await until(refused(replica, token, TokenRevoked))
    newcomer = await start()
    with pytest.raises(TokenRevoked):
        await newcomer.stack.authenticator.authenticate(token)
    await link.close()


async def test_who_can_write_to_redis_cannot_promote_himself(start: Start, user: User, redis_url: str) -> None:
    link = connect_redis(redis_url)
    key = tenant_key(user.tenant_id, "user_cache", user.id)
    forger = RedisStandingCache(link, b"a guess")
    await forger.put(UserFacts(user.tenant_id, user.id, "owner", "person", True, True), 10**9)
    assert await link.client.get(key) is not None
    replica = await start()
    token = replica.stack.issuer.issue(user, new_id()).token
    assert (await replica.stack.authenticator.authenticate(token)).role == "member"
    for broken in (b"", b"x", b"x" * 32, b"y" * 100):
        await link.client.set(key, broken)
        newcomer = await start()
        assert (await newcomer.stack.authenticator.authenticate(token)).role == "member"
    await link.close()


async def test_without_redis_the_database_is_asked(start: Start, user: User) -> None:
    def fallbacks() -> float:
        return REGISTRY.get_sample_value("voicehelper_fallbacks_total", {"what": "user_cache"}) or 0.0

    before, link = fallbacks(), connect_redis(f"redis://127.0.0.1:{random_port()}")
    cache = RedisStandingCache(link, b"key")
    facts = UserFacts(user.tenant_id, user.id, "member", "person", True)
    await cache.put(facts, 1)
    assert await cache.get(user.tenant_id, user.id) is None
    assert fallbacks() == before + 2
    await link.close()
    replica = await start(redis=False)
    token = replica.stack.issuer.issue(user, new_id()).token
    assert (await replica.stack.authenticator.authenticate(token)).role == "member"
