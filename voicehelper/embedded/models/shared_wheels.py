"""Wheels out of which several files come: each is downloaded once a run."""

import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path


class SharedWheels:
    """Keeps wheels from their first use until `close`. Threads that want the same one wait for it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._wheels: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def get(self, requirement: str, download: Callable[[Path], Path]) -> Path:
        """The wheel; `download` brings it into the (empty) folder it is given, and its errors are passed on."""
        with self._lock:
            lock = self._locks[requirement]
        with lock:
            if requirement not in self._wheels:
                self._wheels[requirement] = download(self._new_folder())
            return self._wheels[requirement]

    def close(self) -> None:
        """Delete them all."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        self._wheels.clear()

    def _new_folder(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(dir=self._parent, prefix="wheels-"))
            return Path(tempfile.mkdtemp(dir=self._folder))
