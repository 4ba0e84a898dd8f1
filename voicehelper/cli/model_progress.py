"""Progress bars for model files, on a terminal; plain lines elsewhere (a log, a CI job)."""

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn


class ModelProgress:
    """Implements `voicehelper.embedded.models.Progress`. Use as a context manager; safe from several threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            SpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, name: str, done: int, total: int) -> None:
        """Draw or move the model's bar."""
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done)

    def note(self, name: str, message: str) -> None:
        """Print a line above the bars."""
        self._console.print(f"{name}: {message}", highlight=False, markup=False)

    def finish(self, name: str) -> None:
        """Say that the model is there."""
        self.note(name, "ready, checked")
