"""Accounts on real PostgreSQL, and the first administrator."""

import asyncio
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import Conflict, WeakPassword
from voicehelper.identity import Passwords, User, ensure_admin, read_credentials
from voicehelper.stores.postgres.bootstrap import bootstrap_admin
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool


def quick() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))


async def test_the_first_administrator_is_made_once(postgres_dsn: str, pool: Pool, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, postgres_url=SecretStr(postgres_dsn))
    first = await bootstrap_admin(settings)
    assert first is not None
    assert first.created
    path = tmp_path / "keys" / "admin.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = await bootstrap_admin(settings)
    assert again is not None
    assert (again.email, again.password, again.created) == (first.email, first.password, False)
    user = await PostgresUsers(pool).by_email(first.email)
    assert user is not None
    assert user.password_hash.startswith("$argon2id$")
    assert await Passwords().verify(user.password_hash, first.password)
    path.unlink()
    assert await bootstrap_admin(settings) is None
    assert not path.exists()


async def test_a_crash_before_the_account_loses_no_password(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "admin.json"
    users = PostgresUsers(pool)

    class Crash(Exception):
        pass

    class Broken(PostgresUsers):
        async def create_admin(self, tenant: str, email: str, password_hash: str) -> User:
            raise Crash

    with pytest.raises(Crash):
        await ensure_admin(Broken(pool), quick(), path)
    written = read_credentials(path)
    made = await ensure_admin(users, quick(), path)
    assert made is not None
    assert written is not None
    assert (made.password, made.created) == (written.password, True)


async def test_many_at_once_agree(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "admin.json"
    users, passwords = PostgresUsers(pool), quick()
    results = await asyncio.gather(*(ensure_admin(users, passwords, path) for _ in range(6)))
    known = {(made.email, made.password) for made in results if made}
    assert len(known) == 1
    assert sum(made.created for made in results if made) == 1
    assert await pool.fetchval("SELECT count(*) FROM users") == 1
    user = await users.first_admin("default")
    assert user is not None
    assert await passwords.verify(user.password_hash, known.pop()[1])


async def test_a_given_password_is_used_and_checked(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "admin.json"
    with pytest.raises(WeakPassword, match="length, upper, digit"):
        await ensure_admin(PostgresUsers(pool), quick(), path, "A@Example.com", "short")
    assert not path.exists()
    made = await ensure_admin(PostgresUsers(pool), quick(), path, "A@Example.com", "Long-Enough-1")
    assert made is not None
    assert (made.email, made.password) == ("a@example.com", "Long-Enough-1")
    assert read_credentials(path) == type(made)("a@example.com", "Long-Enough-1")


async def test_settings_may_name_the_administrator(postgres_dsn: str, tmp_path: Path) -> None:
    identity = IdentitySettings(admin_email="Boss@Example.com", admin_password=SecretStr("From-A-Secret-1"))
    settings = Settings(home=tmp_path, postgres_url=SecretStr(postgres_dsn), identity=identity)
    made = await bootstrap_admin(settings)
    assert made is not None
    assert (made.email, made.password, made.created) == ("boss@example.com", "From-A-Secret-1", True)


async def test_an_address_is_taken_once(pool: Pool) -> None:
    users = PostgresUsers(pool)
    user = await users.create_admin("default", "a@example.com", "x")
    with pytest.raises(Conflict):
        await users.create_admin("other", "a@example.com", "x")
    assert await users.get(user.tenant_id, user.id) == user
    assert await users.get(user.id, user.id) is None
    assert await pool.fetchval("SELECT count(*) FROM tenants") == 1  # the failed one left no tenant behind
