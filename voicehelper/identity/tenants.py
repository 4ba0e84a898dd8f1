"""Tenants: one's own, and all of them for those who administer the platform."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from voicehelper.errors import Conflict, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal, User, normalise_email
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.users import new_password
from voicehelper.ids import new_id


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company on the platform. `name` is unique; `hot_words` are names and terms that its callers say."""

    id: UUID
    name: str
    disabled: bool
    version: int
    created_at: datetime
    updated_at: datetime
    hot_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantQuery:
    """Which tenants, newest first. `text` is looked for in names; `before` is the id of the last of the page before."""

    text: str | None = None
    disabled: bool | None = None
    before: UUID | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TenantChange:
    """New values; None leaves the old."""

    name: str | None = None
    disabled: bool | None = None
    hot_words: tuple[str, ...] | None = None


class TenantStore(Protocol):
    """Where tenants lie. Every method raises `Unavailable`."""

    async def get(self, tenant_id: UUID) -> Tenant | None:
        """One."""
        ...

    async def find(self, query: TenantQuery) -> Sequence[Tenant]:
        """Those that match."""
        ...

    async def create(self, name: str, owner: User) -> Tenant:
        """A new tenant (id `owner.tenant_id`) with its owner. Raises `Conflict` when name or address is taken."""
        ...

    async def change(self, tenant_id: UUID, version: int, change: TenantChange) -> Tenant:
        """Apply `change` if `version` is the present one; replicas learn of it. Raises `NotFound`, `VersionConflict`,
        and `Conflict` when the name is taken."""
        ...


class Tenants:
    """Reads and changes tenants. What administrators of the platform do is written in their own tenant's log."""

    def __init__(self, store: TenantStore, passwords: Passwords, acts: Acts) -> None:
        self._store = store
        self._passwords = passwords
        self._acts = acts

    async def own(self, by: Principal) -> Tenant:
        """The caller's tenant."""
        return await self.get(by.tenant_id)

    async def hot_words(self, tenant_id: UUID) -> tuple[str, ...]:
        """Names and terms that the tenant's callers say. Raises `NotFound`."""
        return (await self.get(tenant_id)).hot_words

    async def change_own(
        self, by: Principal, version: int, name: str | None = None, hot_words: tuple[str, ...] | None = None
    ) -> Tenant:
        """Rename the caller's tenant, or set its hot words. Raises `VersionConflict`, `Conflict`."""
        return await self._change(by, by.tenant_id, version, TenantChange(name=name, hot_words=hot_words))

    async def find(self, query: TenantQuery) -> Sequence[Tenant]:
        """All tenants that match, for administrators of the platform."""
        return await self._store.find(query)

    async def get(self, tenant_id: UUID) -> Tenant:
        """Any tenant, for administrators of the platform. Raises `NotFound`."""
        tenant = await self._store.get(tenant_id)
        if tenant is None:
            raise NotFound
        return tenant

    async def create(
        self, by: Principal, name: str, email: str, password: str | None
    ) -> tuple[Tenant, User, str | None]:
        """A new tenant and its owner; with the owner's password where it was generated, to be shown this once.

        Raises:
            Conflict: the name or the address is taken.
            WeakPassword, Overloaded: as `UserDirectory.create`.
        """
        hashed, generated = await new_password(self._passwords, password, email)
        owner = User(new_id(), new_id(), normalise_email(email), hashed, "owner")
        async with self._acts.unit(by.tenant_id):
            tenant = await self._store.create(name, owner)
            await self._acts.audit.record(act_of(by, "tenant.created", "tenant", tenant.id, owner_id=str(owner.id)))
        return tenant, owner, generated

    async def change(self, by: Principal, tenant_id: UUID, version: int, change: TenantChange) -> Tenant:
        """Rename, disable (nobody of it gets in any more, within a second) or enable any tenant.

        Raises:
            NotFound, VersionConflict: no such tenant, or changed meanwhile.
            Conflict: the name is taken, or the caller would lock himself out.
        """
        if change.disabled and tenant_id == by.tenant_id:
            raise Conflict("One's own tenant cannot be disabled")
        return await self._change(by, tenant_id, version, change)

    async def _change(self, by: Principal, tenant_id: UUID, version: int, change: TenantChange) -> Tenant:
        async with self._acts.unit(by.tenant_id):
            tenant = await self._store.change(tenant_id, version, change)
            await self._acts.audit.record(act_of(by, _verb(change), "tenant", tenant_id, **_facts(change)))
        return tenant


def _verb(change: TenantChange) -> str:
    if change.disabled is None:
        return "tenant.changed"
    return "tenant.disabled" if change.disabled else "tenant.enabled"


def _facts(change: TenantChange) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": change.name} if change.name is not None else {}
    return facts if change.hot_words is None else facts | {"hot_words": len(change.hot_words)}
