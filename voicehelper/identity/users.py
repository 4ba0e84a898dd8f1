"""A tenant's people: who may see and change whom."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from voicehelper.errors import InvalidInput, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.lockout import Lockout
from voicehelper.identity.model import Principal, User, UserChange, UserQuery, UserRepository, normalise_email
from voicehelper.identity.password_rules import check_password, generate_password
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.roles import Roles
from voicehelper.identity.sessions import Sessions
from voicehelper.ids import new_id


class UserDirectory:
    """Creates, changes and disables users. Nobody rules over somebody who has more permissions than himself, and
    nobody gives away what he has not: everything here raises `Forbidden` for that."""

    def __init__(
        self,
        *,
        users: UserRepository,
        roles: Roles,
        sessions: Sessions,
        passwords: Passwords,
        lockout: Lockout,
        acts: Acts,
    ) -> None:
        self._users = users
        self._roles = roles
        self._sessions = sessions
        self._passwords = passwords
        self._lockout = lockout
        self._acts = acts

    async def find(self, by: Principal, query: UserQuery) -> Sequence[User]:
        """People of the caller's tenant."""
        return await self._users.find(by.tenant_id, query)

    async def get(self, by: Principal, user_id: UUID) -> User:
        """One of them. Raises `NotFound`."""
        user = await self._users.get(by.tenant_id, user_id)
        if user is None or user.kind != "person" or user.erased:
            raise NotFound
        return user

    async def create(
        self, by: Principal, email: str, name: str, role: str, password: str | None
    ) -> tuple[User, str | None]:
        """A new user; with the password where it was generated, to be shown this once.

        Raises:
            InvalidInput: there is no such role.
            WeakPassword: see `check_password`.
            Conflict: the address is taken, in whichever tenant.
            Overloaded: too many passwords to hash.
        """
        await self._acts.require(by, await self._granted(by, role), "user.created", "user")
        hashed, generated = await new_password(self._passwords, password, email)
        wanted = User(new_id(), by.tenant_id, normalise_email(email), hashed, role, name=name)
        async with self._acts.unit(by.tenant_id):
            user = await self._users.create(wanted)
            await self._acts.audit.record(act_of(by, "user.created", "user", user.id, role=role))
        return user, generated

    async def change(self, by: Principal, user_id: UUID, version: int, change: UserChange) -> User:
        """Name, role, whether disabled, whether administrator of the platform; who is disabled is logged out
        everywhere.

        Raises:
            NotFound, VersionConflict: no such user, or changed meanwhile.
            InvalidInput: there is no such role.
            Conflict: it would take the tenant its last active owner, or the platform its last administrator.
        """
        await self._require_over(by, await self.get(by, user_id), _verb(change))
        if change.role is not None:
            await self._acts.require(by, await self._granted(by, change.role), _verb(change), "user", user_id)
        if change.platform is not None:
            await self._acts.require(by, frozenset({"platform:write"}), _verb(change), "user", user_id)
        async with self._acts.unit(by.tenant_id):
            user = await self._users.change(by.tenant_id, user_id, version, change)
            await self._acts.audit.record(act_of(by, _verb(change), "user", user_id, **_facts(change)))
            if change.disabled:
                await self._sessions.end_all(by, user_id, "disabled")
        return user

    async def reset_password(self, by: Principal, user_id: UUID, password: str | None) -> str | None:
        """A new password; the user is logged out everywhere, and no longer locked out. Returns the password where it
        was generated.

        Raises:
            NotFound, WeakPassword, Overloaded: as `create`.
        """
        user = await self.get(by, user_id)
        await self._require_over(by, user, "user.password_reset")
        hashed, generated = await new_password(self._passwords, password, user.email)
        async with self._acts.unit(by.tenant_id):
            at = self._acts.now()
            await self._users.set_password(by.tenant_id, user_id, hashed, at)
            await self._acts.audit.record(act_of(by, "user.password_reset", "user", user_id))
            await self._sessions.end_all(by, user_id, "password_reset")
            await self._lockout.unlock(user.email)
        return generated

    async def log_out(self, by: Principal, user_id: UUID) -> int:
        """End all sessions of a user; returns how many. Raises `NotFound`."""
        await self._require_over(by, await self.get(by, user_id), "sessions.ended")
        return await self._sessions.end_all(by, user_id, "ended_by_administrator")

    async def _require_over(self, by: Principal, user: User, action: str) -> None:
        permissions = await self._roles.permissions(by.tenant_id, user.role) or frozenset()
        permissions |= {"platform:write"} if user.platform else set()
        await self._acts.require(by, permissions, action, "user", user.id)

    async def _granted(self, by: Principal, role: str) -> frozenset[str]:
        permissions = await self._roles.permissions(by.tenant_id, role)
        if permissions is None:
            raise InvalidInput("No such role", {"role": role})
        return permissions


async def new_password(passwords: Passwords, wanted: str | None, email: str) -> tuple[str, str | None]:
    """The hash of the wanted password, or of a generated one, which is returned too.

    Raises `WeakPassword` and `Overloaded`.
    """
    generated = generate_password() if wanted is None else None
    if wanted is not None:
        await check_password(wanted, email=email)
    with passwords.admitted():
        return await passwords.hash(wanted or generated or ""), generated


def _verb(change: UserChange) -> str:
    if change.disabled is not None:
        return "user.disabled" if change.disabled else "user.enabled"
    if change.platform is not None:
        return "user.platform_granted" if change.platform else "user.platform_withdrawn"
    return "user.role_changed" if change.role is not None else "user.changed"


def _facts(change: UserChange) -> dict[str, Any]:
    """What changed, without people's names."""
    facts: dict[str, Any] = {"role": change.role} if change.role is not None else {}
    return facts | ({"name": "changed"} if change.name is not None else {})
