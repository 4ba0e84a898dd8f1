"""Signing keys and their public halves."""

from datetime import datetime

from pydantic import Field

from voicehelper.wire.common import View


class JwkView(View):
    """A public RSA key (RFC 7517, RFC 7518 6.3)."""

    kty: str
    use: str
    alg: str
    kid: str
    n: str = Field(description="Modulus, base64url")
    e: str = Field(description="Exponent, base64url")


class JwksView(View):
    """A JWK set."""

    keys: list[JwkView]


class SigningKeyView(View):
    """A signing key, without its private half."""

    kid: str
    created_at: datetime
    signs_from: datetime
    verifies_until: datetime | None = Field(description="Null for the newest, which nothing has replaced yet")


class SigningKeyList(View):
    """The keys that verify."""

    items: list[SigningKeyView]
