"""Public keys, for whoever wants to verify our tokens himself."""

from fastapi import APIRouter
from starlette.responses import Response

from voicehelper.gateway.params import Wired
from voicehelper.wire.keys import JwksView

router = APIRouter(tags=["operations"])

_CACHE = "public, max-age=60"


@router.get("/.well-known/jwks.json", summary="Public keys of access tokens (RFC 7517)")
async def jwks(services: Wired, response: Response) -> JwksView:
    """Keys whose tokens are good now, and the one that will sign next."""
    response.headers["cache-control"] = _CACHE
    return JwksView.model_validate(services.keys.jwks())
