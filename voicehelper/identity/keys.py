"""The RSA key that signs access tokens."""

import base64
import hashlib
import json
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from voicehelper.config import Settings
from voicehelper.errors import Unavailable
from voicehelper.identity.files import publish_once

_BITS = 2048


@dataclass(frozen=True)
class SigningKey:
    """A private key and the id under which tokens name it."""

    private: rsa.RSAPrivateKey
    kid: str


def load_signing_key(settings: Settings) -> SigningKey:
    """The key at `identity.signing_key_file` (default `<home>/keys/jwt.pem`), made on first use.

    Safe with any number of processes starting at once: all end up with the same key. The file has mode 0600.

    Raises:
        Unavailable: the file cannot be read or written, or holds no usable RSA private key.
    """
    path = settings.identity.signing_key_file or settings.home / "keys" / "jwt.pem"
    try:
        if not path.exists():
            publish_once(path, _new_pem())
        return parse_signing_key(path.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(f"The signing key {path} cannot be used: {error}") from error


def parse_signing_key(pem: bytes) -> SigningKey:
    """The key in `pem`. Raises `ValueError` when it is not an RSA private key of at least 2048 bits."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _BITS:
        raise ValueError(f"not an RSA private key of at least {_BITS} bits")
    return SigningKey(key, _thumbprint(key.public_key()))


def _new_pem() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _thumbprint(key: rsa.RSAPublicKey) -> str:
    """JWK thumbprint (RFC 7638): members in lexical order, no blanks, SHA-256, base64url."""
    numbers = key.public_numbers()
    jwk = {"e": _base64url_int(numbers.e), "kty": "RSA", "n": _base64url_int(numbers.n)}
    return _base64url(hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())


def _base64url_int(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
