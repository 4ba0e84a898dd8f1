"""The content-addressed store of model files.

    blobs/sha256/<hash>       the files
    derived/<key>/            folders built from a blob, with a SHA256SUMS beside their files
    models/<name>/<file>      readable links to blobs
    models/<name>             ... or to a derived folder; of a bundle, a folder of links
    downloads/                what is not finished yet
    locks/                    one per content key

Whatever stands under `blobs` or `derived` is complete and was checked: it got there by an atomic rename.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from voicehelper.embedded.models.manifest import Manifest, ModelEntry

SUMS = "SHA256SUMS"


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ModelStore:
    """Paths, presence and integrity of the models of one manifest in one folder."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    def lock(self, entry: ModelEntry) -> FileLock:
        """Held by the one process that brings this content into the store."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{self.manifest.content_key(entry)}.lock")

    def partial(self, entry: ModelEntry) -> Path:
        """Where an unfinished download (a prefix of the file) grows; `<partial>.parts/` holds finished later parts."""
        folder = self.root / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.manifest.content_key(entry)}.part"

    def content(self, entry: ModelEntry) -> Path:
        """The blob or folder, present or not."""
        if entry.bundle:
            return self.link(entry)
        key = self.manifest.content_key(entry)
        return self.root / "derived" / key if entry.derived else self.root / "blobs" / "sha256" / key

    def link(self, entry: ModelEntry) -> Path:
        """The readable path, present or not."""
        return self.root / "models" / entry.name / entry.file

    def present(self, entry: ModelEntry) -> bool:
        """Whether the content is here, by name and size (see `verify` for more)."""
        if entry.bundle:
            return all(map(self.present, self.manifest.members(entry)))
        content = self.content(entry)
        if entry.derived:
            return (content / SUMS).is_file()
        return content.is_file() and content.stat().st_size == entry.size

    def commit(self, entry: ModelEntry, finished: Path) -> None:
        """Move a checked file or folder into place, durably and atomically."""
        content = self.content(entry)
        content.parent.mkdir(parents=True, exist_ok=True)
        if entry.derived:
            write_sums(finished)
        if content.is_dir():  # an incomplete folder of an older layout; rename() would refuse to replace it
            shutil.rmtree(content)
        finished.replace(content)
        _fsync_folder(content.parent)

    def expose(self, entry: ModelEntry) -> Path:
        """Make the readable link (again, if it is missing or points elsewhere); returns it."""
        if entry.bundle:
            return self._expose_members(entry)
        return self._make_link(self.link(entry), self.content(entry))

    def _expose_members(self, entry: ModelEntry) -> Path:
        folder = self.link(entry)
        for member in self.manifest.members(entry):
            self._make_link(folder / member.file, self.content(member))
        return folder

    def _make_link(self, link: Path, content: Path) -> Path:
        target = Path(os.path.relpath(content, link.parent))
        if link.is_symlink() and link.readlink() == target:
            return link
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
        return link

    def verify(self, entry: ModelEntry) -> list[str]:
        """Re-hash the content; returns what is wrong with it, nothing when it is sound."""
        if not self.present(entry):
            return ["not in the store"]
        if entry.bundle:
            return [f"{m.name}: {fault}" for m in self.manifest.members(entry) for fault in self.verify(m)]
        if entry.derived is None:
            return [] if sha256_file(self.content(entry)) == entry.sha256 else ["SHA-256 differs from the manifest"]
        return list(_wrong_sums(self.content(entry)))

    def remove(self, entry: ModelEntry) -> None:
        """Delete the content, so that the next pull fetches it anew."""
        for member in self.manifest.members(entry):
            self.remove(member)
        content = self.content(entry)
        if entry.derived or entry.bundle:
            shutil.rmtree(content, ignore_errors=True)
        else:
            content.unlink(missing_ok=True)


def write_sums(folder: Path) -> None:
    """Write the folder's SHA256SUMS (the format of sha256sum) and flush every file to disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256_file(path)}  {path.relative_to(folder)}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))
    for path in [*files, folder / SUMS]:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _wrong_sums(folder: Path) -> Iterator[str]:
    for line in (folder / SUMS).read_text().splitlines():
        digest, name = line.split("  ", 1)
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif sha256_file(path) != digest:
            yield f"{name}: SHA-256 differs from when it was built"


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
