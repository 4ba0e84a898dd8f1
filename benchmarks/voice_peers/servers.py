"""The two servers of the comparison as processes, each on one core, and Pipecat's environment."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench" / "pipecat"
PACKAGES = ("pipecat-ai[silero,websocket]==1.14.0", "uvicorn", "fastapi")
_READY_S = 60.0


def environment() -> Path:
    """The interpreter of an environment with Pipecat, made if need be (some 60 packages)."""
    python, made = FOLDER / "bin" / "python", FOLDER / "made"
    if not made.exists():
        venv.create(FOLDER, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        made.touch()
    return python


def our_command(setting: dict[str, object]) -> list[str]:
    """Ours; the port comes in between."""
    return [sys.executable, "-m", "benchmarks.voice_peers.our_server", "{port}", json.dumps(setting)]


def pipecat_command(setting: dict[str, object]) -> list[str]:
    """Pipecat's."""
    script = Path(__file__).with_name("pipecat_server.py")
    return [str(environment()), str(script), "{port}", json.dumps(setting)]


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """What it has used so far, with all its threads."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


@contextmanager
def server(command: list[str], core: int | None = None) -> Iterator[Running]:
    """A server that runs until the end of the block, on one core if that is named."""
    port = _free_port()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(port) if part == "{port}" else part for part in command],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            _wait(process, port)
            yield Running(port, process.pid)
        except BaseException:
            log.seek(0)
            print(log.read()[-2000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(20)


def cores() -> tuple[int, int] | None:
    """One for the servers and one for the callers; None where there is only one."""
    there = sorted(os.sched_getaffinity(0))
    return (there[0], there[1]) if len(there) > 1 else None


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            opener.open(f"http://127.0.0.1:{port}/ready", timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("the server does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
