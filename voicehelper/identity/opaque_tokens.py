"""API keys and refresh tokens as text: `<prefix><id>_<secret>`. The id finds the row; of the secret only a hash is
stored. The prefix lets secret scanners (and us, in logs) recognise a leaked one.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_SECRET_BYTES = 32
_SECRET_CHARS = 43  # in base64url


@dataclass(frozen=True, slots=True)
class Presented:
    """What a presented token says. `secret_hash` is the SHA-256 of its secret: 32 random bytes need no slow hash."""

    id: UUID
    secret_hash: bytes


@dataclass(frozen=True, slots=True)
class TokenForm:
    """Tokens that begin with `prefix`."""

    prefix: str

    def make(self, id_: UUID) -> tuple[str, bytes]:
        """A new token for what `id_` names, to show once, and the hash to store."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        return f"{self.prefix}{id_.hex}_{secret}", _hash(secret)

    def parse(self, text: str) -> Presented | None:
        """The parts of `text`; None where it is not of this form."""
        end = len(self.prefix) + 32
        whole = end + 1 + _SECRET_CHARS
        if len(text) != whole or not text.startswith(self.prefix) or text[end] != "_" or not text.isascii():
            return None
        named = text[len(self.prefix) : end]
        try:
            id_ = UUID(named)
        except ValueError:
            return None
        return Presented(id_, _hash(text[end + 1 :])) if id_.hex == named else None


API_KEY: Final = TokenForm("vhk_")
REFRESH_TOKEN: Final = TokenForm("vhr_")
"""Names a session."""


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
