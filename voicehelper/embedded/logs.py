"""The components' log files: kept small, shown to people."""

import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 10 * 2**20


def bound(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move the content of every `*.log` above `max_bytes` to `*.log.1`, replacing the one before.

    By copy and truncation: the writers hold the files open in append mode and need not know.
    """
    for path in folder.glob("*.log"):
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            with path.open("r+b") as file:
                file.truncate(0)


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines; none if there is no such file."""
    try:
        with path.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError:
        return []


def follow(paths: list[Path], pause: float = 0.3) -> Iterator[tuple[Path, str]]:
    """Lines appended to any of `paths` from now on, for ever; survives truncation."""
    offsets = {path: path.stat().st_size if path.exists() else 0 for path in paths}
    while True:
        quiet = True
        for path in paths:
            for line in _fresh_lines(path, offsets):
                quiet = False
                yield path, line
        if quiet:
            time.sleep(pause)


def _fresh_lines(path: Path, offsets: dict[Path, int]) -> list[str]:
    if not path.exists():
        return []
    if path.stat().st_size < offsets[path]:
        offsets[path] = 0
    with path.open("rb") as file:
        file.seek(offsets[path])
        data = file.read()
    complete = data.rfind(b"\n") + 1
    offsets[path] += complete
    return data[:complete].decode(errors="replace").splitlines()
