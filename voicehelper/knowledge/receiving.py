"""A file on its way in: counted, hashed and, where nobody else can show it again, kept for the inspection."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from voicehelper.errors import PayloadTooLarge, Unavailable

_HELD_BYTES = 2**20


class Received:
    """Passes a stream through. With `keep`, a copy is held: in memory while it is small, else in a temporary file.

    Use as a context manager: leaving it drops the copy.
    """

    def __init__(self, data: AsyncIterator[bytes], limit: int, keep: bool) -> None:
        self._data = data
        self._limit = limit
        self._copy = _Copy() if keep else None
        self.size = 0
        self.digest = hashlib.sha256()

    def __enter__(self) -> "Received":
        return self

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.drop()

    async def read(self) -> AsyncIterator[bytes]:
        """The stream. Raises `PayloadTooLarge` as soon as it is over the limit."""
        async for part in self._data:
            self.size += len(part)
            if self.size > self._limit:
                raise PayloadTooLarge(f"The file is larger than {self._limit} bytes", {"max_bytes": self._limit})
            self.digest.update(part)
            if self._copy is not None:
                await self._copy.add(part)
            yield part

    async def copy(self) -> bytes | Path:
        """What has passed. Only with `keep`."""
        assert self._copy is not None
        return await self._copy.content()


class _Copy:
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    async def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._held += len(part)
        if self._held > _HELD_BYTES:
            await self._flush()

    async def content(self) -> bytes | Path:
        if self._file is None:
            return b"".join(self._parts)
        await self._flush()
        return Path(self._file.name)

    def drop(self) -> None:
        self._parts.clear()
        if self._file is not None:
            self._file.close()  # which deletes it

    async def _flush(self) -> None:
        parts, self._parts, self._held = self._parts, [], 0
        try:
            await asyncio.to_thread(self._write, parts)
        except OSError as error:
            raise Unavailable("There is no room for the upload") from error

    def _write(self, parts: list[bytes]) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="voicehelper-upload-")  # noqa: SIM115 - see drop
        self._file.writelines(parts)
        self._file.flush()
