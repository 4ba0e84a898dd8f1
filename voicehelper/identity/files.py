"""Secret files: written whole, mode 0600, by exactly one of several processes."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def publish_once(path: Path, content: bytes) -> bool:
    """Create `path` with `content` unless it exists; returns whether this call created it.

    The content is complete and on disk before the name appears (a hard link from a temporary file), so a reader never
    sees half a secret and a crash leaves none behind. Raises `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def replace_secret(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, replacing what was there. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_temporary(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return Path(name)
