"""How a pull reports itself. The command line draws bars from it; tests record it."""

from typing import Protocol


class Progress(Protocol):
    """Told about each model by name, from several threads at once."""

    def update(self, name: str, done: int, total: int) -> None:
        """`done` of `total` bytes are here. `done` may fall when a source has to start over."""
        ...

    def note(self, name: str, message: str) -> None:
        """Something a person should know: which source is used, why one was left out, what is being waited for."""
        ...

    def finish(self, name: str) -> None:
        """The model is in the store, checked."""
        ...


class NullProgress:
    """Says nothing."""

    def update(self, name: str, done: int, total: int) -> None:
        """Ignored."""

    def note(self, name: str, message: str) -> None:
        """Ignored."""

    def finish(self, name: str) -> None:
        """Ignored."""
