"""Accounts over a fresh database, with a clock that tests move."""

from dataclasses import dataclass
from uuid import UUID

import pytest
from argon2 import PasswordHasher

from voicehelper.config import IdentitySettings
from voicehelper.identity.accounts import Accounts
from voicehelper.identity.model import AccessToken, Principal, User
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock
from voicehelper.stores.postgres.accounts import postgres_accounts
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool

PASSWORD = "Correct-Horse-7"


class CountingHasher(PasswordHasher):
    """Argon2 with the least work, that counts how often it verifies."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.verified += 1
        return super().verify(hash, password)


class FakeIssuer:
    """Tokens that say whose they are."""

    def issue(self, user: User, session_id: UUID) -> AccessToken:
        return AccessToken(f"access {user.id} {session_id}", 3600)

    def issue_visitor(self, user: User, conversation_id: UUID, ttl_s: int) -> AccessToken:
        return AccessToken(f"visitor {user.id} {conversation_id}", ttl_s)


@dataclass
class House:
    """The use cases, and what they stand on."""

    accounts: Accounts
    pool: Pool
    clock: FakeClock
    hasher: CountingHasher
    passwords: Passwords
    owner: User

    def principal(self, user: User, session_id: UUID | None = None, **more: object) -> Principal:
        """`user`, logged in."""
        permissions = BUILT_IN[user.role] | ({"platform:write"} if user.platform else set())
        values = {"role": user.role, "permissions": permissions, "session_id": session_id or new_id(), **more}
        return Principal(user.id, user.tenant_id, **values)

    async def person(self, email: str, role: str = "member", by: User | None = None) -> User:
        """A new user with the usual password."""
        user, _ = await self.accounts.users.create(self.principal(by or self.owner), email, "", role, PASSWORD)
        return user

    async def actions(self, tenant_id: UUID | None = None) -> list[str]:
        """What the audit log has, oldest first."""
        rows = await self.pool.fetch(
            "SELECT action FROM audit_logs WHERE $1::uuid IS NULL OR tenant_id = $1 ORDER BY id", tenant_id
        )
        return [row["action"] for row in rows]


@pytest.fixture
async def house(pool: Pool) -> House:
    hasher, clock = CountingHasher(), FakeClock()
    passwords = Passwords(hasher)
    accounts = postgres_accounts(
        pool,
        settings=IdentitySettings(),
        clock=clock,
        issuer=FakeIssuer(),
        passwords=passwords,
        master=b"m" * 32,
    )
    owner = await PostgresUsers(pool).create_admin("default", "owner@example.com", await passwords.hash(PASSWORD))
    return House(accounts, pool, clock, hasher, passwords, owner)
