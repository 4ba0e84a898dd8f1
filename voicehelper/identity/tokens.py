"""Access tokens: RS256 JWTs (RFC 7519, RFC 9068 in spirit) that name tenant, user and login.

PyJWT signs them. They are verified here, on `cryptography` directly, because that is twice as fast: a handful of header
texts is all that ever comes, so each is checked once and then known by heart, and only what is signed is parsed.
"""

import base64
import math
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from voicehelper.errors import TokenExpired, Unauthenticated
from voicehelper.identity.key_ring import Keys
from voicehelper.identity.model import AccessToken, PrincipalKind, User
from voicehelper.ids import new_id
from voicehelper.ports.clock import Clock

_ALGORITHM = "RS256"
LEEWAY_S = 5
"""Clocks of two replicas may differ by so much, in seconds."""
_LONGEST = 4096
_PADDING, _HASH = PKCS1v15(), SHA256()
_KNOWN_HEADERS = 64


class TokenIssuer:
    """Signs access tokens."""

    def __init__(self, keys: Keys, clock: Clock, issuer: str = "voicehelper", lifetime_s: int = 3600) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._lifetime_s = lifetime_s

    def issue(self, user: User, session_id: UUID) -> AccessToken:
        """A token for `user`, good from now on and until the session is revoked."""
        return self._sign(user, "user", self._lifetime_s, {"sid": str(session_id)})

    def issue_visitor(self, user: User, conversation_id: UUID, ttl_s: int) -> AccessToken:
        """A token for an end customer, good for one conversation, `ttl_s` seconds long. What revokes it early is a
        change of kind `session` whose subject is the conversation."""
        return self._sign(user, "visitor", ttl_s, {"cid": str(conversation_id)})

    def _sign(self, user: User, kind: PrincipalKind, lifetime_s: int, more: dict[str, str]) -> AccessToken:
        now = self._clock.now()
        claims = {
            "iss": self._issuer,
            "sub": str(user.id),
            "tid": str(user.tenant_id),
            "role": user.role,
            "kind": kind,
            "iat": int(now),
            "exp": int(now) + lifetime_s,
            "jti": str(new_id()),
            **more,
        }
        key = self._keys.signing(now)
        return AccessToken(jwt.encode(claims, key.private, _ALGORITHM, {"kid": key.kid}), lifetime_s)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `expires_at` is Unix time; `role` is the one the user had when it was issued."""

    user_id: UUID
    tenant_id: UUID
    role: str
    kind: PrincipalKind
    session_id: UUID | None
    conversation_id: UUID | None
    expires_at: float


class TokenVerifier:
    """Checks form, signature, issuer and time of a token; whether it was revoked is the `Authenticator`'s affair."""

    def __init__(self, keys: Keys, clock: Clock, issuer: str = "voicehelper") -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._kids: dict[str, str] = {}  # key id by header, of headers that came with a good signature

    def verify(self, token: str) -> Claims:
        """What the token says.

        Raises:
            TokenExpired: it was valid once.
            Unauthenticated: it never was.
        """
        now = self._clock.now()
        try:
            claims = self._signed(token, now)
            found, issued = _claims(claims), _time(claims["iat"])
        except (KeyError, TypeError, ValueError, AttributeError, InvalidSignature) as error:
            raise Unauthenticated from error
        if claims.get("iss") != self._issuer or not issued <= now + LEEWAY_S:
            raise Unauthenticated
        if not now < found.expires_at + LEEWAY_S:
            raise TokenExpired
        return found

    def unknown_kid(self, token: str) -> str | None:
        """The key id that the token names, if it has the form of one of ours and we have no such key."""
        try:
            kid = _kid(token.partition(".")[0])
        except (KeyError, TypeError, ValueError):
            return None
        return kid if self._keys.verifying(kid, self._clock.now()) is None else None

    def _signed(self, token: str, now: float) -> dict[str, Any]:
        """The payload. Raises `ValueError` and the like for a token that is not signed by one of our keys."""
        if len(token) > _LONGEST or not token.isascii():
            raise ValueError("not a token")
        header, payload, signature = token.split(".")
        kid = self._kids.get(header) or _kid(header)
        key = self._keys.verifying(kid, now)
        if key is None:
            raise ValueError("no such key")
        key.verify(_decoded(signature), token[: len(header) + 1 + len(payload)].encode(), _PADDING, _HASH)
        if len(self._kids) < _KNOWN_HEADERS:
            self._kids[header] = kid
        claims: dict[str, Any] = orjson.loads(_decoded(payload))
        return claims


def _kid(header: str) -> str:
    """The key id in a header that says exactly what ours say. Raises `ValueError` and the like for any other."""
    found = orjson.loads(_decoded(header))
    kid = found["kid"]
    if not isinstance(kid, str) or found != {"alg": _ALGORITHM, "kid": kid, "typ": "JWT"}:
        raise ValueError("not a header of ours")
    return kid


def _claims(claims: dict[str, Any]) -> Claims:
    kind: PrincipalKind = claims["kind"]
    session, conversation = claims.get("sid"), claims.get("cid")
    # Either can be revoked: a user's token by its login, a visitor's by its conversation.
    if (kind, session is None, conversation is None) not in {("user", False, True), ("visitor", True, False)}:
        raise ValueError("not a kind of token we issue")
    return Claims(
        UUID(claims["sub"]),
        UUID(claims["tid"]),
        str(claims["role"]),
        kind,
        None if session is None else UUID(session),
        None if conversation is None else UUID(conversation),
        _time(claims["exp"]),
    )


def _time(value: object) -> float:
    """Seconds. A NaN would pass every comparison written the wrong way round, so it ends here."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a time")
    return float(value)


def _decoded(text: str) -> bytes:
    """Base64url without padding; `urlsafe_b64decode` would skip what it does not know."""
    if "=" in text:
        raise ValueError("padded")
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
