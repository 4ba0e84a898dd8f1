"""Default deny: what is not listed as open needs a token, before a byte of the body is read."""

from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from voicehelper.context import current_context, use_context
from voicehelper.gateway.credentials import credential_of
from voicehelper.identity import Authenticator

OPEN = frozenset(
    {
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/health",
        "/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/.well-known/jwks.json",
    }
)
_GUARDED = ("/api/", "/v1/", "/ws/")


def is_guarded(path: str) -> bool:
    """Whether a request for `path` needs a token."""
    return path.startswith(_GUARDED) and path not in OPEN


class Authentication:
    """Verifies the access token or API key; puts who it speaks for into `scope["state"]["principal"]` and the context.

    Outside `/api`, `/v1` and `/ws` lies no data: an unknown path there is simply not found.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises what `Authenticator.authenticate` does."""
        if scope["type"] == "lifespan" or not is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        principal = await self._authenticator.authenticate(credential_of(scope))
        scope.setdefault("state", {})["principal"] = principal
        context = replace(
            current_context(),
            tenant_id=str(principal.tenant_id),
            user_id=str(principal.user_id),
            key_id=str(principal.key_id or ""),
        )
        with use_context(context):
            await self._app(scope, receive, send)
