"""Where uploaded files lie."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from voicehelper.errors import NotFound


class ObjectStore(Protocol):
    """Immutable blobs by key. Keys are `tenant_id/...` paths that we make, never the user's text."""

    async def put(self, key: str, data: AsyncIterator[bytes]) -> int:
        """Store the stream under `key` and return its size in bytes; durable when it returns, atomic on failure."""
        ...

    async def get(self, key: str) -> bytes:
        """The whole blob. Raises `NotFound`."""
        ...

    async def delete(self, key: str) -> None:
        """Remove `key`; nothing happens where it does not exist."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the store cannot be reached."""
        ...


@runtime_checkable
class LocalObjects(Protocol):
    """What an object store can do besides when its blobs are files that this machine can read."""

    def local_path(self, key: str) -> Path:
        """Where the blob of `key` lies, if it exists. Read-only."""
        ...


class FakeObjectStore:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    async def put(self, key: str, data: AsyncIterator[bytes]) -> int:
        """Keep the joined stream."""
        self.blobs[key] = b"".join([part async for part in data])
        return len(self.blobs[key])

    async def get(self, key: str) -> bytes:
        """The blob, or `NotFound`."""
        if key not in self.blobs:
            raise NotFound
        return self.blobs[key]

    async def delete(self, key: str) -> None:
        """Forget the blob."""
        self.blobs.pop(key, None)

    async def ping(self) -> None:
        """Always there."""
