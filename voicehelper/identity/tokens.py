"""Access tokens: RS256 JWTs that name tenant, user and role."""

from typing import Any
from uuid import UUID

import jwt

from voicehelper.errors import TokenExpired, Unauthenticated
from voicehelper.identity.keys import SigningKey
from voicehelper.identity.model import AccessToken, Principal, User
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.ids import new_id
from voicehelper.ports.clock import Clock

_ALGORITHM = "RS256"
_REQUIRED = ["iss", "sub", "tid", "role", "iat", "exp"]
_LEEWAY_S = 5  # clocks of two replicas


class TokenIssuer:
    """Signs access tokens."""

    def __init__(self, key: SigningKey, clock: Clock, issuer: str = "voicehelper", lifetime_s: int = 3600) -> None:
        self._key = key
        self._clock = clock
        self._issuer = issuer
        self._lifetime_s = lifetime_s

    def issue(self, user: User) -> AccessToken:
        """A token for `user`, valid from now on."""
        now = int(self._clock.now())
        claims = {
            "iss": self._issuer,
            "sub": str(user.id),
            "tid": str(user.tenant_id),
            "role": user.role,
            "iat": now,
            "exp": now + self._lifetime_s,
            "jti": str(new_id()),
        }
        token = jwt.encode(claims, self._key.private, algorithm=_ALGORITHM, headers={"kid": self._key.kid})
        return AccessToken(token, self._lifetime_s)


class TokenVerifier:
    """Checks signature, issuer and time of a token."""

    def __init__(self, key: SigningKey, clock: Clock, issuer: str = "voicehelper") -> None:
        self._keys = {key.kid: key.private.public_key()}
        self._clock = clock
        self._issuer = issuer

    def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenExpired: it was valid once.
            Unauthenticated: it never was.
        """
        claims = self._claims(token)
        try:
            expires, issued = float(claims["exp"]), float(claims["iat"])
            role = str(claims["role"])
            allowed = BUILT_IN.get(role, frozenset())
            principal = Principal(UUID(claims["sub"]), UUID(claims["tid"]), role, allowed)
        except (TypeError, ValueError, AttributeError) as error:
            raise Unauthenticated from error
        now = self._clock.now()
        # Written so that a NaN is refused too.
        if not issued <= now + _LEEWAY_S:
            raise Unauthenticated
        if not now < expires + _LEEWAY_S:
            raise TokenExpired
        return principal

    def _claims(self, token: str) -> dict[str, Any]:
        # The clock is ours (tests move it), so PyJWT checks everything but the times.
        options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            return jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=self._issuer, options=options)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Unauthenticated from error
