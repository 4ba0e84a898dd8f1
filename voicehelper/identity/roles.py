"""Roles: the built-in ones, and a tenant's own beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from voicehelper.errors import Conflict, InvalidInput, NotFound
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal
from voicehelper.identity.permissions import BUILT_IN, unknown_permissions

MOST = 200
"""Roles a tenant may have: a list of them needs no pages."""


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions. Built-in ones belong to no tenant, and have version 0."""

    name: str
    permissions: frozenset[str]
    description: str = ""
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def built_in(self) -> bool:
        """Whether it is the same in every tenant and cannot be changed."""
        return self.name in BUILT_IN


class RoleStore(Protocol):
    """A tenant's own roles. Every method raises `Unavailable`."""

    async def all(self, tenant_id: UUID) -> Sequence[Role]:
        """By name."""
        ...

    async def get(self, tenant_id: UUID, name: str) -> Role | None:
        """One."""
        ...

    async def add(self, tenant_id: UUID, role: Role, most: int) -> Role:
        """Raises `Conflict` when the name is taken or there are `most` already."""
        ...

    async def change(
        self,
        tenant_id: UUID,
        name: str,
        version: int,
        permissions: frozenset[str] | None,
        description: str | None,
    ) -> Role:
        """New values; None leaves the old. Replicas learn of it. Raises `NotFound`, `VersionConflict`."""
        ...

    async def remove(self, tenant_id: UUID, name: str) -> None:
        """Raises `NotFound`, and `Conflict` while somebody has it."""
        ...


class Roles:
    """Lists, creates, changes and deletes roles. Nobody makes, changes or removes one that has more than himself:
    that raises `Forbidden`."""

    def __init__(self, store: RoleStore, acts: Acts) -> None:
        self._store = store
        self._acts = acts

    async def permissions(self, tenant_id: UUID, name: str) -> frozenset[str] | None:
        """What a role allows; None where there is no such role."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        role = await self._store.get(tenant_id, name)
        return role.permissions if role else None

    async def all(self, by: Principal) -> list[Role]:
        """The built-in roles, then the tenant's own."""
        return [Role(name, permissions) for name, permissions in BUILT_IN.items()] + [
            *await self._store.all(by.tenant_id)
        ]

    async def get(self, by: Principal, name: str) -> Role:
        """One role. Raises `NotFound`."""
        if name in BUILT_IN:
            return Role(name, BUILT_IN[name])
        role = await self._store.get(by.tenant_id, name)
        if role is None:
            raise NotFound
        return role

    async def create(self, by: Principal, name: str, permissions: frozenset[str], description: str) -> Role:
        """A new role. Raises `Conflict` when the name is taken, `InvalidInput` for permissions that do not exist."""
        if name in BUILT_IN:
            raise Conflict("A built-in role has this name")
        await self._check(by, permissions, "role.created", name)
        async with self._acts.unit(by.tenant_id):
            role = await self._store.add(by.tenant_id, Role(name, permissions, description), MOST)
            await self._acts.audit.record(act_of(by, "role.created", "role", name, permissions=sorted(permissions)))
        return role

    async def change(
        self, by: Principal, name: str, version: int, permissions: frozenset[str] | None, description: str | None
    ) -> Role:
        """New permissions hold within a second, for whoever has the role.

        Raises:
            NotFound, VersionConflict: no such role, or changed meanwhile.
            Conflict: a built-in role.
            InvalidInput: permissions that do not exist.
        """
        await self._changeable(by, name, "role.changed")
        if permissions is not None:
            await self._check(by, permissions, "role.changed", name)
        async with self._acts.unit(by.tenant_id):
            role = await self._store.change(by.tenant_id, name, version, permissions, description)
            facts = {"permissions": sorted(permissions)} if permissions is not None else {}
            await self._acts.audit.record(act_of(by, "role.changed", "role", name, **facts))
        return role

    async def delete(self, by: Principal, name: str) -> None:
        """Raises `NotFound`, and `Conflict` for a built-in role or one that somebody has."""
        await self._changeable(by, name, "role.deleted")
        async with self._acts.unit(by.tenant_id):
            await self._store.remove(by.tenant_id, name)
            await self._acts.audit.record(act_of(by, "role.deleted", "role", name))

    async def _changeable(self, by: Principal, name: str, action: str) -> None:
        if name in BUILT_IN:
            raise Conflict("Built-in roles cannot be changed")
        role = await self.get(by, name)
        await self._acts.require(by, role.permissions, action, "role", name)

    async def _check(self, by: Principal, permissions: frozenset[str], action: str, name: str) -> None:
        unknown = unknown_permissions(permissions)
        if unknown:
            raise InvalidInput("No such permissions for a role", {"permissions": sorted(unknown)})
        await self._acts.require(by, permissions, action, "role", name)
