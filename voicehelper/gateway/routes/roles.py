"""Roles and permissions."""

from typing import Annotated

from fastapi import APIRouter, Path

from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.identity import Role
from voicehelper.identity.permissions import PERMISSIONS
from voicehelper.wire.common import Page
from voicehelper.wire.roles import PermissionView, RoleCreate, RoleUpdate, RoleView
from voicehelper.wire.users import RoleName

router = APIRouter(tags=["roles"])

_READ = [requires("users:read")]
_WRITE = [requires("roles:write")]
_Name = Annotated[RoleName, Path()]


@router.get("/permissions", summary="Every permission there is", dependencies=_READ)
async def list_permissions() -> Page[PermissionView]:
    """Always one page."""
    return Page(items=[PermissionView(name=name, description=text) for name, text in PERMISSIONS.items()])


@router.get("/roles", summary="List roles", dependencies=_READ)
async def list_roles(caller: Caller, services: Wired) -> Page[RoleView]:
    """The built-in ones, then the tenant's own by name: always one page."""
    return Page(items=[_view(role) for role in await services.accounts.roles.all(caller)])


@router.post("/roles", status_code=201, summary="Create a role", dependencies=_WRITE)
async def create_role(body: RoleCreate, caller: Caller, services: Wired) -> RoleView:
    """409 when the name is taken, 403 for a permission that the caller has not."""
    roles = services.accounts.roles
    return _view(await roles.create(caller, body.name, frozenset(body.permissions), body.description))


@router.get("/roles/{name}", summary="One role", dependencies=_READ)
async def get_role(name: _Name, caller: Caller, services: Wired) -> RoleView:
    """A built-in one or one of the tenant's."""
    return _view(await services.accounts.roles.get(caller, name))


@router.patch("/roles/{name}", summary="Change a role", dependencies=_WRITE)
async def change_role(name: _Name, body: RoleUpdate, caller: Caller, services: Wired) -> RoleView:
    """Holds within a second, for whoever has it. 409 (40903) when it was changed meanwhile, 409 (40901) for a built-in
    one, 403 where it has, or is to have, a permission that the caller has not."""
    wanted = None if body.permissions is None else frozenset[str](body.permissions)
    return _view(await services.accounts.roles.change(caller, name, body.version, wanted, body.description))


@router.delete("/roles/{name}", status_code=204, summary="Delete a role", dependencies=_WRITE)
async def delete_role(name: _Name, caller: Caller, services: Wired) -> None:
    """409 for a built-in one, and while somebody has it."""
    await services.accounts.roles.delete(caller, name)


def _view(role: Role) -> RoleView:
    return RoleView(
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        built_in=role.built_in,
        version=role.version,
        created_at=role.created_at,
        updated_at=role.updated_at,
    )
