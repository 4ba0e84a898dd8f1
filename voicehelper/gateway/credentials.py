"""Where the credential of a request or socket stands."""

from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Scope

from voicehelper.errors import Unauthenticated

_SUBPROTOCOLS = ("bearer.", "openai-insecure-api-key.")
"""What a token follows: our name, and that of OpenAI's browser clients."""
_IN_QUERY = "/ws/voice"


def credential_of(scope: Scope) -> str:
    """The access token or API key: of the Authorization header, or, because pages cannot set one for a WebSocket, of a
    subprotocol `bearer.<token>` or `openai-insecure-api-key.<token>`, or of the query's `token`. Raises
    `Unauthenticated` when there is none.

    The query counts for sockets only, and is logged nowhere of ours; an ordinary request with a token in its URL would
    leave it in histories and referrers.
    """
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    for name in scope.get("subprotocols", ()):
        for prefix in _SUBPROTOCOLS:
            if name.startswith(prefix) and len(name) > len(prefix):
                return str(name.removeprefix(prefix))
    if scope["type"] == "websocket" and (token := _in_query(scope)):
        return token
    raise Unauthenticated


def _in_query(scope: Scope) -> str:
    if not scope["path"].startswith(_IN_QUERY):
        return ""
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("token", [""])[0].strip()


def chosen_subprotocol(scope: Scope) -> str | None:
    """The subprotocol to accept, where any was offered (a browser insists on it): the one that carries the token only
    if there is no other."""
    offered: list[str] = scope.get("subprotocols", [])
    return next((name for name in offered if not name.startswith(_SUBPROTOCOLS)), offered[0] if offered else None)
