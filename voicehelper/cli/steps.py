"""What `voicehelper up` shows while it works: one line a step, with its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Steps:
    """Prints finished steps as lines; on a terminal a spinner says what is being waited for."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._spinner: Status | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def done(self, what: str, seconds: float | None = None, note: str = "") -> None:
        """A step is finished."""
        timing = f"{seconds:6.1f} s" if seconds is not None else " " * 8
        self.console.print(f"[green]✓[/] {timing}  {what}{f'  [dim]{note}[/]' if note else ''}", highlight=False)

    def say(self, text: str) -> None:
        """A plain line."""
        self.console.print(text, highlight=False, markup=False)

    def waiting(self, text: str) -> None:
        """Change the spinner's text."""
        if self._spinner is not None:
            self._spinner.update(text)

    @contextmanager
    def spinner(self, text: str) -> Iterator[None]:
        """A spinner within the block, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(text) as self._spinner:
            yield
        self._spinner = None

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Time the block; append to the yielded list to add a note."""
        begun = time.monotonic()
        notes: list[str] = []
        with self.spinner(what):
            yield notes
        self.done(what, time.monotonic() - begun, " ".join(notes))
