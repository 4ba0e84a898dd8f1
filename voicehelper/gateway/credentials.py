"""Where the credential of a request or socket stands."""

from starlette.datastructures import Headers
from starlette.types import Scope

from voicehelper.errors import Unauthenticated

_SUBPROTOCOL = "bearer."


def credential_of(scope: Scope) -> str:
    """The access token or API key: of the Authorization header, or, because pages cannot set one for a WebSocket, of a
    subprotocol `bearer.<token>`. Raises `Unauthenticated` when there is none."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    for name in scope.get("subprotocols", ()):
        if name.startswith(_SUBPROTOCOL) and len(name) > len(_SUBPROTOCOL):
            return str(name.removeprefix(_SUBPROTOCOL))
    raise Unauthenticated


def chosen_subprotocol(scope: Scope) -> str | None:
    """The subprotocol to accept, where any was offered (a browser insists on it): the one that carries the token only
    if there is no other."""
    offered: list[str] = scope.get("subprotocols", [])
    return next((name for name in offered if not name.startswith(_SUBPROTOCOL)), offered[0] if offered else None)
