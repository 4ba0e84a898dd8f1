"""Argon2id hashing, off the event loop."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_PARALLEL = 2  # each hash takes 64 MiB; more at once would let a burst of logins eat the machine


class Passwords:
    """Hashes and verifies passwords (RFC 9106, the library's current defaults) in threads.

    `verify` with no hash takes as long as with one, so that timing does not tell whether an account exists.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._decoy = ""

    async def hash(self, password: str) -> str:
        """The encoded hash (algorithm, parameters, salt, digest)."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether `password` is the one behind `hashed`; always False, after the same work, for None."""
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe(16))
        async with self._slots:
            matches = await asyncio.to_thread(self._matches, hashed or self._decoy, password)
        return matches and hashed is not None

    def outdated(self, hashed: str) -> bool:
        """Whether `hashed` was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
