"""A pid file that cannot lie: its owner holds a lock on it for as long as it lives, and the kernel drops the lock."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from voicehelper.errors import Conflict

_TRIES = 10
_PAUSE_S = 0.02


class AlreadyRunning(Conflict):
    """Another process holds the pid file."""

    code = 40910
    default_message = "Already running"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a pid file."""

    pid: int
    started: float  # Unix time: tells it from a later process with the same pid

    def process(self) -> psutil.Process | None:
        """The process, None if it is gone (a process with the same pid that started at another time is not it)."""
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.started) < 1.0 else None
        except psutil.NoSuchProcess:
            return None


@contextmanager
def hold(path: Path) -> Iterator[Owner]:
    """Own `path` within the block. Raises `AlreadyRunning` if a living process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, path)
        owner = Owner(os.getpid(), psutil.Process().create_time())
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": owner.pid, "started": owner.started}).encode())
        yield owner
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> Owner | None:
    """Who holds `path` now; None if nobody does, whatever the file says."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_owner(path)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt == _TRIES - 1:
                raise AlreadyRunning(f"{path} is held by another process") from error
            time.sleep(_PAUSE_S)  # `owner_of` elsewhere may hold it for an instant
        else:
            return


def _read_owner(path: Path) -> Owner | None:
    for _ in range(_TRIES):
        try:
            record = json.loads(path.read_text())
            return Owner(int(record["pid"]), float(record["started"]))
        except (ValueError, KeyError):
            time.sleep(_PAUSE_S)  # it has just locked the file and not yet written it
    return None
