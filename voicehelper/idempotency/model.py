"""What identifies a write, and what is kept of it."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from voicehelper.errors import InvalidInput

KEPT_S: Final = 24 * 3600
"""A key is remembered for so long."""

_LONGEST = 255


@dataclass(frozen=True, slots=True)
class WriteKey:
    """One write of one actor.

    Attributes:
        actor_id: the user, visitor or API key that writes.
        key_hash: SHA-256 of the `Idempotency-Key`.
        fingerprint: of what is written; another one under the same key is a mistake of the client's. Keyed with the
            `Idempotency-Key`, which is stored nowhere: who reads the table cannot try passwords against it.
    """

    tenant_id: UUID
    actor_id: UUID
    key_hash: bytes
    fingerprint: bytes

    @classmethod
    def of(cls, tenant_id: UUID, actor_id: UUID, key: str, fingerprint: bytes) -> "WriteKey":
        """`key` as `parse_key` gives it, `fingerprint` as `fingerprint` does."""
        secret = key.encode()
        return cls(tenant_id, actor_id, hashlib.sha256(secret).digest(), hmac.digest(secret, fingerprint, "sha256"))

    @property
    def lock(self) -> int:
        """A number (63 bits) to lock this actor's key by."""
        digest = hashlib.sha256(self.tenant_id.bytes + self.actor_id.bytes + self.key_hash).digest()
        return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a write: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the first request with a key has left so far.

    Attributes:
        running: it is still being worked on.
        response: how it ended; None for a question, whose answer is `message_id`.
        message_id: the answer, where the write was a question.
    """

    running: bool
    response: StoredResponse | None = None
    message_id: UUID | None = None


def parse_key(values: list[str]) -> str | None:
    """The key in a request's `Idempotency-Key` headers. Raises `InvalidInput` unless it is one of 1-255 printable
    ASCII characters."""
    if not values:
        return None
    key = values[0]
    if len(values) > 1 or not (1 <= len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters")
    return key


def fingerprint(method: str, path: str, query: bytes, body: bytes) -> bytes:
    """SHA-256 of a request: its method, target and body."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode("utf-8", "surrogatepass"), query, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
