"""The growing file of a download, hashed while it is written."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from voicehelper.embedded.models.errors import HashMismatch

CHUNK = 1 << 20


class PartialFile:
    """A prefix of a file whose size and SHA-256 are known.

    Opening an existing one reads it once, so that the running hash covers it. Any source may continue where another
    one stopped, since both deliver the same bytes.
    """

    def __init__(self, path: Path, size: int, sha256: str) -> None:
        self.path = path
        self.size = size
        self.sha256 = sha256
        self.offset = 0
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._hash = hashlib.sha256()
        self._take_over(min(os.fstat(self._file.fileno()).st_size, size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def complete(self) -> bool:
        """Whether every byte is here (right or wrong; `check` tells)."""
        return self.offset == self.size

    def append(self, chunk: bytes) -> None:
        """Add the next bytes. Raises `HashMismatch` when there are more than the manifest says."""
        if self.offset + len(chunk) > self.size:
            self._fail(f"longer than the {self.size} bytes of the manifest")
        self._file.write(chunk)
        self._hash.update(chunk)
        self.offset += len(chunk)

    def rewind(self, offset: int) -> None:
        """Forget everything from `offset` on."""
        if offset < self.offset:
            self._take_over(offset)

    def check(self) -> None:
        """Flush to disk and compare the hash. Raises `HashMismatch` after deleting the file."""
        if self._hash.hexdigest() != self.sha256:
            self._fail(f"SHA-256 is {self._hash.hexdigest()}, the manifest says {self.sha256}")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _take_over(self, length: int) -> None:
        self._file.truncate(length)
        self._file.seek(0)
        self._hash = hashlib.sha256()
        while chunk := self._file.read(CHUNK):
            self._hash.update(chunk)
        self.offset = length

    def _fail(self, why: str) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
        raise HashMismatch(f"{self.path.name}: {why}; deleted")
