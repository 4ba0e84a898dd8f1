"""Objects as plain files: `<root>/<key>`, written beside their place and renamed, durable before `put` returns."""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from voicehelper.errors import NotFound, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_PARTIAL = ".partial"
_FLUSH_BYTES = 2**20
_STALE_S = 86400.0


class FileObjectStore:
    """`ObjectStore` in a folder of this machine, or one shared by all machines. File work happens in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / _PARTIAL

    async def put(self, key: str, data: AsyncIterator[bytes]) -> int:
        """See `ObjectStore`. Raises `Unavailable` when the disk refuses."""
        target = self._path(key)
        file = await _in_thread(self._create)
        try:
            size = await _copy(data, file)
            await _in_thread(_publish, file, target, self._root)
        except BaseException:
            _discard(file)
            raise
        return size

    async def get(self, key: str) -> bytes:
        """See `ObjectStore`."""
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound("No such object") from error
        except OSError as error:
            raise _unavailable(error) from error

    def local_path(self, key: str) -> Path:
        """See `LocalObjects`. Raises `NotFound` for what is no key."""
        return self._path(key)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`. Folders left empty are removed too."""
        await _in_thread(_remove, self._path(key), self._root)

    async def ping(self) -> None:
        """See `ObjectStore`. Also removes what writers that were killed left behind, a day later."""
        await _in_thread(self._check)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise NotFound("No such object")
        return self._root / key

    def _create(self) -> IO[bytes]:
        self._partial.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.NamedTemporaryFile(dir=self._partial, delete=False)

    def _check(self) -> None:
        self._create_and_remove()
        oldest = time.time() - _STALE_S
        for path in self._partial.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _create_and_remove(self) -> None:
        with self._create() as file:
            Path(file.name).unlink()


async def _copy(data: AsyncIterator[bytes], file: IO[bytes]) -> int:
    """Write the stream in blocks, so that small parts do not cost a thread switch each; returns its size."""
    size, parts, held = 0, [], 0
    async for part in data:
        size += len(part)
        held += len(part)
        parts.append(part)
        if held >= _FLUSH_BYTES:
            await _in_thread(file.writelines, parts)
            parts, held = [], 0
    await _in_thread(file.writelines, parts)
    return size


def _publish(file: IO[bytes], target: Path, root: Path) -> None:
    """Make the file durable, then visible under its name, then make the name durable."""
    with file:
        file.flush()
        os.fsync(file.fileno())
    while True:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            Path(file.name).replace(target)
            break
        except FileNotFoundError:
            if not Path(file.name).exists():
                raise
            # Somebody deleted the last object of the folder, and the folder, in between.
    for folder in (target.parent, *target.parent.parents):
        _sync_folder(folder)
        if folder == root:
            break


def _discard(file: IO[bytes]) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path, root: Path) -> None:
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return  # not empty


async def _in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"The object store cannot be used: {error.strerror or type(error).__name__}")
