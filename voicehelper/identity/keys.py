"""RSA keys that sign access tokens: made, read, and published as JWKs (RFC 7517)."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from voicehelper.config import Settings
from voicehelper.errors import Unavailable

_BITS = 2048


@dataclass(frozen=True)
class SigningKey:
    """A private key and the id under which tokens name it. Alone, it is a ring of one (`identity.key_ring.Keys`)."""

    private: rsa.RSAPrivateKey
    kid: str

    @cached_property
    def public(self) -> rsa.RSAPublicKey:
        """Its public half."""
        return self.private.public_key()

    def signing(self, now: float) -> "SigningKey":
        """Itself, at any time."""
        return self

    def verifying(self, kid: str, now: float) -> rsa.RSAPublicKey | None:
        """Its public half where `kid` names it."""
        return self.public if kid == self.kid else None


def key_file(settings: Settings) -> bytes | None:
    """The key an installation brings along: `identity.signing_key_file`, else `<home>/keys/jwt.pem` if that exists.

    Raises:
        Unavailable: the file cannot be read, or holds no usable RSA private key.
    """
    given = settings.identity.signing_key_file
    path = given or settings.home / "keys" / "jwt.pem"
    if given is None and not path.exists():
        return None
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        pem = path.read_bytes()
        parse_signing_key(pem)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(f"The signing key {path} cannot be used: {error}") from error
    return pem


def parse_signing_key(pem: bytes) -> SigningKey:
    """The key in `pem`. Raises `ValueError` when it is not an RSA private key of at least 2048 bits."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _BITS:
        raise ValueError(f"not an RSA private key of at least {_BITS} bits")
    return SigningKey(key, _thumbprint(key.public_key()))


def parse_public_key(pem: str) -> rsa.RSAPublicKey:
    """The public key in `pem`. Raises `ValueError`."""
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA public key")
    return key


def new_pem() -> bytes:
    """A new private key (PKCS #8). Takes a tenth of a second: call it in a thread."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: rsa.RSAPublicKey) -> str:
    """`key` as PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(kid: str, key: rsa.RSAPublicKey) -> dict[str, str]:
    """`key` as a JWK for verifying RS256 signatures."""
    return {**_members(key), "kid": kid, "use": "sig", "alg": "RS256"}


def _members(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"e": _base64url_int(numbers.e), "kty": "RSA", "n": _base64url_int(numbers.n)}


def _thumbprint(key: rsa.RSAPublicKey) -> str:
    """JWK thumbprint (RFC 7638): members in lexical order, no blanks, SHA-256, base64url."""
    return _base64url(hashlib.sha256(json.dumps(_members(key), separators=(",", ":")).encode()).digest())


def _base64url_int(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
