"""What routes ask of a request."""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection

from voicehelper.conversations import Owner, Place
from voicehelper.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from voicehelper.gateway.dispatch import FlatRoute
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal
from voicehelper.identity.permissions import PERMISSIONS

# Dependencies are coroutines although they wait for nothing: FastAPI runs plain functions in threads.


class Permission:
    """A route's permission: the dependency behind `requires`."""

    def __init__(self, name: str, visitors: bool) -> None:
        if name not in PERMISSIONS:
            raise ValueError(f"No such permission: {name}")
        self.name = name
        self._visitors = visitors

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """The caller, who is allowed."""
        principal = _principal_of(connection)
        if principal.kind == "visitor" and not self._visitors:
            _keep_to_conversation(principal, connection.path_params)
        if not principal.may(self.name):
            raise Forbidden(details={"permission": self.name})
        return principal


def requires(name: str, *, visitors: bool = False) -> Any:
    """What a route declares: the permission its caller needs. Every route has one, or is listed as open.

        @router.post("/bases", dependencies=[requires("knowledge:write")])
        async def create_base(caller: Annotated[Principal, requires("knowledge:write")]) -> ...:  # or so

    A visitor's token is good for one conversation only: routes with another `conversation_id` in the path do not exist
    for it (404), routes without one are forbidden, unless the route says `visitors=True` and looks after that itself.

    Args:
        name: of `identity.permissions`.
        visitors: let visitors pass whatever the path says.

    Returns:
        A FastAPI dependency that gives the `Principal`, for HTTP routes and WebSockets. It raises `Unauthenticated`,
        `Forbidden` and `NotFound`.
    """
    return Depends(Permission(name, visitors))


def permission_of(route: FlatRoute) -> str:
    """The permission a route demands; empty where it declares none. Raises `ValueError` where it declares two."""
    names = {permission.name for permission in _permissions(route.dependant)}
    if len(names) > 1:
        raise ValueError(f"{route.path} declares {len(names)} permissions")
    return names.pop() if names else ""


def _permissions(dependant: Dependant) -> Iterator[Permission]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Permission):
            yield dependency.call
        yield from _permissions(dependency)


def _principal_of(connection: HTTPConnection) -> Principal:
    principal = connection.scope.get("state", {}).get("principal")
    if not isinstance(principal, Principal):
        raise Unauthenticated
    return principal


def _keep_to_conversation(visitor: Principal, path: dict[str, Any]) -> None:
    if "conversation_id" not in path:
        raise Forbidden
    try:
        asked = UUID(str(path["conversation_id"]))
    except ValueError:
        raise NotFound from None
    if asked != visitor.conversation_id:
        raise NotFound


async def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


async def _principal(connection: HTTPConnection) -> Principal:
    """Who asks; verified by the `Authentication` layer, which this only reads."""
    return _principal_of(connection)


async def _owner(connection: HTTPConnection) -> Owner:
    principal = _principal_of(connection)
    return Owner(principal.tenant_id, principal.user_id)


Wired = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_principal)]
Asker = Annotated[Owner, Depends(_owner)]
Limit = Annotated[int, Query(ge=1, le=200)]
Search = Annotated[
    str,
    Query(max_length=100, pattern=r"^[^\x00]*$", description="Text to find in titles and messages, whatever the case"),
]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


def encode_place(place: Place) -> str:
    """`place` as an opaque cursor."""
    return base64.urlsafe_b64encode(f"{place.updated_at.isoformat()}|{place.id}".encode()).decode()


def decode_place(cursor: str | None) -> Place | None:
    """The place behind a cursor. Raises `InvalidInput` when it is not one of ours."""
    if not cursor:
        return None
    try:
        moment, _, identifier = base64.urlsafe_b64decode(cursor).decode("ascii").partition("|")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError(moment)
        return Place(at.astimezone(UTC), UUID(identifier))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidInput("Not a cursor of ours") from error
