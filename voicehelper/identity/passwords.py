"""Argon2id hashing, off the event loop."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from voicehelper.errors import Overloaded

_PARALLEL = 2  # each hash takes 64 MiB; more at once would let a burst of logins eat the machine
_QUEUE = 64


class Passwords:
    """Hashes and verifies passwords (RFC 9106, the library's current defaults) in threads.

    `verify` with no hash takes as long as with one, so that timing does not tell whether an account exists.
    """

    def __init__(self, hasher: PasswordHasher | None = None, queue: int = _QUEUE) -> None:
        """`queue`: how many may be within `admitted` at the same time."""
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._queue = queue
        self._admitted = 0
        self._decoy = ""

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Around a request that will hash. Raises `Overloaded` at once when too many are waiting already."""
        if self._admitted >= self._queue:
            raise Overloaded(retry_after=2)
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def hash(self, password: str) -> str:
        """The encoded hash (algorithm, parameters, salt, digest)."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether `password` is the one behind `hashed`; always False, after the same work, for None or none."""
        async with self.slot():
            return await self.check(hashed, password)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until something may be hashed; `check` belongs within."""
        async with self._slots:
            yield

    async def check(self, hashed: str | None, password: str) -> bool:
        """`verify`, for who holds a `slot`."""
        if not self._decoy:
            self._decoy = await asyncio.to_thread(self._hasher.hash, secrets.token_urlsafe(16))
        matches = await asyncio.to_thread(self._matches, hashed or self._decoy, password)
        return matches and bool(hashed)

    def outdated(self, hashed: str) -> bool:
        """Whether `hashed` was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
