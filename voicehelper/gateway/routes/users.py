"""A tenant's users."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.identity import User, UserChange, UserQuery
from voicehelper.wire.common import Line, Page
from voicehelper.wire.identity import SessionsEnded
from voicehelper.wire.users import (
    PasswordReset,
    PasswordView,
    RoleName,
    UserCreate,
    UserCreated,
    UserUpdate,
    UserView,
)

router = APIRouter(prefix="/users", tags=["users"])

_READ = [requires("users:read")]
_WRITE = [requires("users:write")]


@router.get("", summary="List users, newest first", dependencies=_READ)
async def list_users(  # noqa: PLR0917 - one argument per query parameter
    caller: Caller,
    services: Wired,
    q: Annotated[Line | None, Query(description="Part of the address or name")] = None,
    role: Annotated[RoleName | None, Query()] = None,
    disabled: Annotated[bool | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[UserView]:
    """People of the caller's tenant; visitors are not among them."""
    query = UserQuery(q, role, disabled, decode_id(cursor), limit + 1)
    found = await services.accounts.users.find(caller, query)
    return page_of(found, limit, lambda user: user.id, _view)


@router.post("", status_code=201, summary="Create a user", dependencies=_WRITE)
async def create_user(body: UserCreate, caller: Caller, services: Wired) -> UserCreated:
    """409 when the address is taken (an address has one account on the whole platform), 403 for a role that may do more
    than the caller, 400 for an unknown role or a weak password (40005)."""
    users = services.accounts.users
    user, password = await users.create(caller, body.email, body.name, body.role, body.password)
    return UserCreated(**_view(user).model_dump(), password=password)


@router.get("/{user_id}", summary="One user", dependencies=_READ)
async def get_user(user_id: UUID, caller: Caller, services: Wired) -> UserView:
    """Of the caller's tenant."""
    return _view(await services.accounts.users.get(caller, user_id))


@router.patch("/{user_id}", summary="Change, disable or enable a user", dependencies=_WRITE)
async def change_user(user_id: UUID, body: UserUpdate, caller: Caller, services: Wired) -> UserView:
    """A new role holds within a second. 409 (40903) when the user was changed meanwhile, 409 (40901) for the tenant's
    last active owner and the last administrator of the platform; 403 where the user, or the new role, may do more than
    the caller."""
    change = UserChange(body.name, body.role, body.disabled, body.platform)
    return _view(await services.accounts.users.change(caller, user_id, body.version, change))


@router.post("/{user_id}/password", summary="Give a user a new password", dependencies=_WRITE)
async def reset_password(user_id: UUID, body: PasswordReset, caller: Caller, services: Wired) -> PasswordView:
    """The user is logged out everywhere."""
    return PasswordView(password=await services.accounts.users.reset_password(caller, user_id, body.password))


@router.post("/{user_id}/logout-all", summary="Log a user out everywhere", dependencies=_WRITE)
async def log_user_out(user_id: UUID, caller: Caller, services: Wired) -> SessionsEnded:
    """Within a second no replica takes the user's tokens any more. API keys stay."""
    return SessionsEnded(ended=await services.accounts.users.log_out(caller, user_id))


def _view(user: User) -> UserView:
    return UserView.model_validate(user)
