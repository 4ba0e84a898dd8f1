"""What routes ask of a request."""

import base64
import binascii
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from voicehelper.conversations import Owner, Place
from voicehelper.errors import InvalidInput, Unauthenticated
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _principal(
    request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Who asks; verified by the `Authentication` layer, which this only reads."""
    principal = request.scope.get("state", {}).get("principal")
    if not isinstance(principal, Principal):
        raise Unauthenticated
    return principal


def _owner(principal: Annotated[Principal, Depends(_principal)]) -> Owner:
    return Owner(principal.tenant_id, principal.user_id)


Wired = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(_principal)]
Asker = Annotated[Owner, Depends(_owner)]
Limit = Annotated[int, Query(ge=1, le=200)]
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
        place = Place(datetime.fromisoformat(moment), UUID(identifier))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput("Not a cursor of ours") from error
    if place.updated_at.tzinfo is None:
        raise InvalidInput("Not a cursor of ours")
    return place
