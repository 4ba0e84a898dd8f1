"""API keys as text: `vhk_<id>_<secret>`. The id finds the row; of the secret only a hash is stored.

The prefix lets secret scanners (and us, in logs) recognise a leaked key.
"""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

PREFIX = "vhk_"
_SECRET_BYTES = 32
_ID_END = len(PREFIX) + 32
_LENGTH = _ID_END + 1 + 43  # base64url of 32 bytes


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """What a presented key says. `secret_hash` is the SHA-256 of its secret: 32 random bytes need no slow hash."""

    id: UUID
    secret_hash: bytes


def make_api_key(key_id: UUID) -> tuple[str, bytes]:
    """The key to show once, and the hash to store."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return f"{PREFIX}{key_id.hex}_{secret}", _hash(secret)


def parse_api_key(text: str) -> ApiKeyText | None:
    """The parts of `text`; None where it is not of this form."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or text[_ID_END] != "_" or not text.isascii():
        return None
    identifier = text[len(PREFIX) : _ID_END]
    try:
        key_id = UUID(identifier)
    except ValueError:
        return None
    return ApiKeyText(key_id, _hash(text[_ID_END + 1 :])) if key_id.hex == identifier else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
