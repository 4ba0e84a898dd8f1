"""Starting the supervisor in the background, and stopping it."""

import signal
import subprocess
import sys

import psutil

from voicehelper.config import Settings, process_environment
from voicehelper.embedded.pidfile import Owner
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.status import supervisor_of
from voicehelper.embedded.supervisor import sweep

_PATIENCE_S = 60.0


def start_supervisor(settings: Settings, command: list[str]) -> subprocess.Popen[bytes]:
    """Start `command` (this program's `supervise`) detached from the terminal, output to `logs/supervisor.log`."""
    home = settings.home.absolute()
    (home / "run" / "status.json").unlink(missing_ok=True)
    with (home / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**process_environment(), "VOICEHELPER_HOME": str(home)},
            cwd=home,
        )


def stop_instance(settings: Settings) -> bool:
    """Stop the supervisor and with it everything; then end whatever of this instance is left.

    Idempotent. Returns whether anything ran.

    Raises:
        EngineError: it belongs to another user.
    """
    owner = supervisor_of(settings)
    if owner is not None:
        _end(owner, settings)
    leftovers = sweep(settings.home.absolute())
    return owner is not None or leftovers > 0


def _end(owner: Owner, settings: Settings) -> None:
    process = owner.process()
    if process is None:
        return
    try:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_S)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise EngineError(f"The instance in {settings.home} belongs to another user (pid {owner.pid})") from error
    except psutil.TimeoutExpired:
        process.kill()  # what it started ends with it
        process.wait(10)
