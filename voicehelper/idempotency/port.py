"""Where keys are kept."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from voicehelper.errors import IdempotencyMismatch, RequestInProgress
from voicehelper.idempotency.model import StoredResponse, WriteKey


class Claim(Protocol):
    """A key that is ours for as long as the transaction lasts."""

    @property
    def stored(self) -> StoredResponse | None:
        """The response of an earlier request: to be repeated, nothing else is to be done. None for the first one."""
        ...

    async def keep(self, response: StoredResponse) -> None:
        """Store what is to be repeated."""
        ...

    async def drop(self) -> None:
        """Forget the key: the same request may be sent again."""
        ...


class IdempotencyStore(Protocol):
    """Keys and responses. Every method raises `Unavailable`; claiming raises `IdempotencyMismatch` for a key that was
    used for another request, and `RequestInProgress` while the first one is running."""

    def once(self, write: WriteKey) -> AbstractAsyncContextManager[Claim]:
        """A transaction that holds the key and takes in whatever this task writes within the block: all is committed
        at its end, or, where it raises or the process dies, nothing is."""
        ...

    async def begin(self, write: WriteKey, lease_s: float) -> StoredResponse | None:
        """Claim the key for `lease_s` seconds, at once, for work too long for a transaction. Returns the response of
        an earlier request if there is one; the key is then not claimed."""
        ...

    async def extend(self, write: WriteKey, lease_s: float) -> None:
        """Go on holding it."""
        ...

    async def finish(self, write: WriteKey, response: StoredResponse | None) -> None:
        """Store the response; forget the key if it is None."""
        ...


class FakeIdempotencyStore:
    """In memory; transactions roll nothing back but the key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[object, ...], tuple[bytes, StoredResponse | None]] = {}
        self.extended = 0

    @asynccontextmanager
    async def once(self, write: WriteKey) -> AsyncIterator["_FakeClaim"]:
        """See `IdempotencyStore`."""
        stored = await self.begin(write, 0)
        try:
            yield _FakeClaim(self, write, stored)
        except BaseException:
            if stored is None:
                await self.finish(write, None)
            raise

    async def begin(self, write: WriteKey, lease_s: float) -> StoredResponse | None:
        """See `IdempotencyStore`."""
        place = (write.tenant_id, write.actor_id, write.key_hash)
        known, response = self.rows.get(place, (write.fingerprint, None))
        if known != write.fingerprint:
            raise IdempotencyMismatch
        if place in self.rows and response is None:
            raise RequestInProgress(retry_after=1)
        self.rows.setdefault(place, (write.fingerprint, None))
        return response

    async def extend(self, write: WriteKey, lease_s: float) -> None:
        """See `IdempotencyStore`."""
        self.extended += 1

    async def finish(self, write: WriteKey, response: StoredResponse | None) -> None:
        """See `IdempotencyStore`."""
        place = (write.tenant_id, write.actor_id, write.key_hash)
        if response is None:
            self.rows.pop(place, None)
        else:
            self.rows[place] = (write.fingerprint, response)


class _FakeClaim:
    def __init__(self, store: FakeIdempotencyStore, write: WriteKey, stored: StoredResponse | None) -> None:
        self._store = store
        self._write = write
        self.stored = stored

    async def keep(self, response: StoredResponse) -> None:
        await self._store.finish(self._write, response)

    async def drop(self) -> None:
        await self._store.finish(self._write, None)
