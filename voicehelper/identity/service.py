"""Logging in."""

from datetime import UTC, datetime

from voicehelper.errors import InvalidCredentials, Unauthenticated
from voicehelper.identity.model import AccessToken, Principal, User, UserRepository, normalise_email
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.tokens import TokenIssuer
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)


class IdentityService:
    """Turns credentials into tokens and tokens into accounts."""

    def __init__(self, users: UserRepository, passwords: Passwords, issuer: TokenIssuer, clock: Clock) -> None:
        self._users = users
        self._passwords = passwords
        self._issuer = issuer
        self._clock = clock

    async def login(self, email: str, password: str) -> AccessToken:
        """An access token. Raises `InvalidCredentials` for an unknown or disabled account and for a wrong password,
        all alike and after the same work."""
        user = await self._users.by_email(normalise_email(email))
        matches = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or not matches or user.disabled:
            log.warning("login.refused", known=user is not None)
            raise InvalidCredentials
        outdated = self._passwords.outdated(user.password_hash)
        new_hash = await self._passwords.hash(password) if outdated else None
        await self._users.record_login(user.id, datetime.fromtimestamp(self._clock.now(), UTC), new_hash)
        log.info("login.accepted", user_id=str(user.id), tenant_id=str(user.tenant_id))
        return self._issuer.issue(user)

    async def account(self, principal: Principal) -> User:
        """The account of `principal`. Raises `Unauthenticated` when it is gone or disabled."""
        user = await self._users.get(principal.tenant_id, principal.user_id)
        if user is None or user.disabled:
            raise Unauthenticated
        return user
