"""Pages of other web sites: what browsers let them do with the API, and whose sockets we accept."""

from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from voicehelper.errors import Forbidden

_ASKED = (
    "Authorization", "Idempotency-Key", "Last-Event-ID", "X-Request-Id", "traceparent", "tracestate",
)  # fmt: skip
_SHOWN = (
    "RateLimit", "RateLimit-Policy", "Retry-After", "traceparent", "X-Request-Id", "Deprecation", "Sunset", "Link",
    "Idempotent-Replayed", "WWW-Authenticate", "Content-Disposition",
)  # fmt: skip
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def cors_options(origins: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of Starlette's `CORSMiddleware`. No credentials: we take tokens, never cookies."""
    return {
        "allow_origins": origins,
        "allow_methods": _METHODS,
        "allow_headers": _ASKED,
        "expose_headers": _SHOWN,
        "max_age": 3600,
    }


class SocketOrigins:
    """Refuses WebSockets of pages of other sites: browsers ask for no permission before they open one."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket. Raises `Forbidden`."""
        if scope["type"] == "websocket" and not self._allowed(dict(scope["headers"])):
            raise Forbidden("This web site may not open sockets here")
        await self._app(scope, receive, send)

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or "*" in self._origins or origin in self._origins:
            return True
        return urlsplit(origin).netloc == headers.get(b"host", b"").decode("latin-1")
