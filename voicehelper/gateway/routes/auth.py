"""Logging in, and who is logged in."""

from fastapi import APIRouter

from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.wire.identity import LoginRequest, MeView, TokenView

router = APIRouter(tags=["identity"])


@router.post("/auth/login", summary="Log in with e-mail address and password")
async def login(body: LoginRequest, services: Wired) -> TokenView:
    """An access token, for the header `Authorization: Bearer`. 401 for a wrong address or password, all alike."""
    token = await services.identity.login(body.email, body.password)
    return TokenView(access_token=token.token, expires_in=token.expires_in)


@router.get("/me", summary="The account behind the token", dependencies=[requires("profile:read")])
async def me(caller: Caller, services: Wired) -> MeView:
    """401 when the account was removed or disabled since the token was issued."""
    return MeView.model_validate(await services.identity.account(caller))
