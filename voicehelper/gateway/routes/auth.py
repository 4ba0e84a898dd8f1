"""Logging in and out, and the caller's own account."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header

from voicehelper.errors import Forbidden
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.identity import Principal, Session, TokenPair
from voicehelper.wire.common import Page
from voicehelper.wire.identity import (
    LoginRequest,
    MeView,
    PasswordChange,
    RefreshRequest,
    SessionsEnded,
    SessionView,
    TokenView,
)

router = APIRouter(tags=["identity"])

_READ = [requires("profile:read")]
_WRITE = [requires("profile:write")]
_Client = Annotated[str, Header(alias="user-agent", include_in_schema=False)]


@router.post("/auth/login", summary="Log in with e-mail address and password")
async def login(body: LoginRequest, services: Wired, client: _Client = "") -> TokenView:
    """Begins a session. 401 (40102) for a wrong address or password, all alike; 429 (42903) for an account or address
    with too many failures."""
    return _tokens(await services.accounts.logins.login(body.email, body.password, client))


@router.post("/auth/refresh", summary="New tokens for a refresh token")
async def refresh(body: RefreshRequest, services: Wired) -> TokenView:
    """A refresh token is good for one use. 401: not ours (40101), not used in time (40103), or its session has ended
    (40104); using one twice ends the session."""
    return _tokens(await services.accounts.sessions.renew(body.refresh_token))


@router.post("/auth/logout", status_code=204, summary="Log out", dependencies=_WRITE)
async def logout(caller: Caller, services: Wired) -> None:
    """Ends the session behind the token: within a second no replica takes it any more. 403 for an API key."""
    if caller.session_id is None:
        raise Forbidden("There is no session behind this credential")
    await services.accounts.sessions.end(caller, caller.session_id)


@router.post("/auth/logout-all", summary="Log out everywhere", dependencies=_WRITE)
async def logout_everywhere(caller: Caller, services: Wired) -> SessionsEnded:
    """Ends every session of the caller, this one too. API keys stay."""
    return SessionsEnded(ended=await services.accounts.sessions.end_all(caller, caller.user_id, "logout_everywhere"))


@router.get("/me", summary="The account behind the token", dependencies=_READ)
async def me(caller: Caller, services: Wired) -> MeView:
    """401 when the account was removed or disabled since the token was issued."""
    user = await services.accounts.logins.account(caller)
    return MeView(
        id=user.id,
        tenant_id=user.tenant_id,
        email=user.email,
        name=user.name,
        role=user.role,
        permissions=sorted(caller.permissions),
    )


@router.put("/me/password", status_code=204, summary="Change one's own password", dependencies=_WRITE)
async def change_password(body: PasswordChange, caller: Caller, services: Wired) -> None:
    """Every other session of the account ends. 400 (40005) says what is weak about the new password; 401 (40102) for a
    wrong present one, which counts as a failed login. 403 for an API key."""
    await services.accounts.logins.change_password(caller, body.current_password, body.new_password)


@router.get("/me/sessions", summary="One's own sessions, last used first", dependencies=_READ)
async def list_sessions(caller: Caller, services: Wired) -> Page[SessionView]:
    """Where one is logged in: always one page."""
    return Page(items=[_session(found, caller) for found in await services.accounts.sessions.of(caller)])


@router.delete(
    "/me/sessions/{session_id}", status_code=204, summary="End one of one's own sessions", dependencies=_WRITE
)
async def end_session(session_id: UUID, caller: Caller, services: Wired) -> None:
    """404 when it has ended already."""
    await services.accounts.sessions.end(caller, session_id)


def _tokens(pair: TokenPair) -> TokenView:
    return TokenView(
        access_token=pair.access_token,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
        refresh_expires_in=pair.refresh_expires_in,
    )


def _session(session: Session, caller: Principal) -> SessionView:
    return SessionView(
        id=session.id,
        client=session.client,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        current=session.id == caller.session_id,
    )
