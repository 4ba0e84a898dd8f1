"""One model being fetched: what a source needs to know, and how it is stopped."""

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voicehelper.config import process_environment
from voicehelper.embedded.models.errors import Cancelled
from voicehelper.embedded.models.manifest import ModelEntry
from voicehelper.embedded.models.partial import PartialFile
from voicehelper.embedded.models.progress import Progress
from voicehelper.embedded.models.shared_wheels import SharedWheels


class Cancel:
    """Stops every thread and child process of a run at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()

    def set(self) -> None:
        """Stop: children are terminated, `check` raises from now on."""
        self._event.set()
        with self._lock:
            for child in self._children:
                child.terminate()

    def check(self) -> None:
        """Raise `Cancelled` after `set`."""
        if self._event.is_set():
            raise Cancelled

    def run(self, command: list[str], on_line: Callable[[str], None], scratch: Path) -> tuple[int, str]:
        """Run a command, handing on each line of its output; returns its exit status and the whole output.

        Its temporary files go to `scratch`: the disk whose space was checked.
        """
        self.check()
        lines: list[str] = []
        with subprocess.Popen(  # noqa: S603 - commands are built from the manifest, without a shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=process_environment() | {"TMPDIR": str(scratch)},
        ) as child:
            with self._lock:
                self._children.add(child)
            try:
                assert child.stdout is not None
                for line in child.stdout:
                    lines.append(line)
                    on_line(line.strip())
            finally:
                with self._lock:
                    self._children.discard(child)
                if self._event.is_set():
                    child.terminate()
        self.check()
        return child.returncode, "".join(lines)


@dataclass(frozen=True, slots=True)
class Job:
    """One model, its growing file, and who is told."""

    entry: ModelEntry
    partial: PartialFile
    progress: Progress
    cancel: Cancel
    wheels: SharedWheels

    def report(self, done: int) -> None:
        """Tell how many bytes are here."""
        self.progress.update(self.entry.name, done, self.entry.size)

    def note(self, message: str) -> None:
        """Tell a person something."""
        self.progress.note(self.entry.name, message)
