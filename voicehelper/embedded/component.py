"""What the supervisor looks after: engines, servers of the user's, one-off steps."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from voicehelper.embedded.policy import Limits
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.valkey import EmbeddedValkey


class Component(Protocol):
    """One thing to start and keep running.

    Attributes:
        needs: names of components that must be ready before this one starts.
        follows: of those, the ones whose restart takes this one down too.
        limits: patience with it.
        check_every: seconds between two checks once it runs.
        managed: False when it is the user's: watched, never started or stopped.
    """

    needs: tuple[str, ...]
    follows: tuple[str, ...]
    limits: Limits
    check_every: float
    managed: bool

    @property
    def name(self) -> str:
        """In logs, status and file names."""
        ...

    @property
    def port(self) -> int:
        """Where it listens, 0 for nowhere."""
        ...

    async def start(self) -> subprocess.Popen[bytes] | None:
        """Start it; returns its process if it has one. Raises `VoiceHelperError` saying why it cannot."""
        ...

    async def check(self) -> str:
        """Its version when it serves. Raises `VoiceHelperError` when it does not (yet)."""
        ...

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """End it in an orderly way."""
        ...


async def end_process(process: subprocess.Popen[bytes], sign: signal.Signals, timeout: float) -> None:
    """Send `sign` and wait up to `timeout` seconds without blocking the loop; then kill its process group."""
    if process.poll() is None:
        process.send_signal(sign)
    deadline = asyncio.get_running_loop().time() + timeout
    while process.poll() is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # a process offers no event to wait for
    if process.poll() is None:
        process.kill()
        await asyncio.to_thread(process.wait, 10)


@dataclass
class EngineComponent:
    """An embedded PostgreSQL or Valkey."""

    engine: EmbeddedPostgres | EmbeddedValkey
    environment: Mapping[str, str]
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    limits: Limits = Limits(start_timeout=60.0)  # recovery after a crash replays the log
    check_every: float = 2.0
    managed: bool = True

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def port(self) -> int:
        """The engine's port."""
        return self.engine.port

    async def start(self) -> subprocess.Popen[bytes]:
        """Prepare the folder, then start the server."""
        await asyncio.to_thread(self.engine.prepare)
        return self.engine.start(dict(self.environment))  # on this thread: see `spawn`

    async def check(self) -> str:
        """Ask the server for its version."""
        return await self.engine.check()

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """Orderly shutdown, with data on disk."""
        if process is not None:
            await end_process(process, self.engine.stop_signal, 10.0)


@dataclass
class ExternalEngine:
    """A server of the user's, named by a URL: only watched."""

    name: str
    probe: Callable[[], Awaitable[str]]
    port: int
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    limits: Limits = Limits(start_timeout=10.0)
    check_every: float = 5.0
    managed: bool = False

    async def start(self) -> None:
        """Nothing to start."""

    async def check(self) -> str:
        """Ask the server for its version."""
        return await self.probe()

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """Nothing to stop."""


@dataclass
class Step:
    """Work done once, when what it needs is there; it counts as ready from then on."""

    name: str
    action: Callable[[], Awaitable[str]]
    needs: tuple[str, ...]
    follows: tuple[str, ...] = ()
    limits: Limits = Limits()
    check_every: float = 3600.0
    port: int = 0
    managed: bool = True
    outcome: str = ""

    async def start(self) -> None:
        """Do it."""
        self.outcome = await self.action()

    async def check(self) -> str:
        """What it came to."""
        return self.outcome

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """Nothing to stop."""
