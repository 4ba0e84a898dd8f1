"""Starting and ending the processes of an instance, and the account they run under."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from voicehelper.errors import Unavailable

_LAUNCHER = Path(__file__).with_name("launch.py")
NOBODY = 65534


class EngineError(Unavailable):
    """An engine cannot be started; the message says why and what to do."""

    code = 50310
    default_message = "An engine cannot be started"


class EngineBroken(EngineError):
    """It failed for good; waiting longer will not help."""

    code = 50311


@dataclass(frozen=True, slots=True)
class Account:
    """The user an engine runs as."""

    uid: int
    gid: int


def engine_account() -> Account | None:
    """None to stay what we are; as root, the uid `nobody` has on every Linux, because PostgreSQL refuses root."""
    return Account(NOBODY, NOBODY) if os.geteuid() == 0 else None


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    account: Account | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, output appended to `log`.

    Call it from a thread that lives as long as the process shall: the kernel sends `on_parent_death` when the calling
    *thread* ends.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(int(on_parent_death)), str(uid), str(gid)]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own binaries, no shell
            [*launcher, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, sign: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> None:
    """Ask with `sign`, wait up to `timeout` seconds, then kill its whole process group."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and to what it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    else:
        process.wait(10)


def kill_in_folder(folder: Path) -> int:
    """Kill every process of ours whose working directory is `folder`: an engine's remains. Returns how many."""
    remains = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                process.kill()
                remains.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    psutil.wait_procs(remains, timeout=5)
    return len(remains)


def own_folder(folder: Path, account: Account | None, mode: int = 0o700) -> None:
    """Make `folder` (parents too) and give it to `account`."""
    folder.mkdir(parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(mode)


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Replace `path` atomically with `text`, readable by its owner alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def blocked_at(path: Path, account: Account | None) -> Path | None:
    """The first folder on the way to `path` that `account` cannot enter, None if it can reach `path`."""
    if account is None:
        return None
    for folder in reversed(path.resolve().parents):
        if not folder.exists():
            return None
        status = folder.stat()
        owned = status.st_uid == account.uid and status.st_mode & stat.S_IXUSR
        if not owned and not status.st_mode & stat.S_IXOTH:
            return folder
    return None


def reachable_copy(source: Path, into: Path, account: Account | None) -> Path:
    """`source` itself if `account` can read it, else a copy of it in folder `into` (made once per `into`)."""
    if account is None or (blocked_at(source, account) is None and source.stat().st_mode & stat.S_IROTH):
        return source
    target = into / source.name
    if target.exists():
        return target
    into.mkdir(parents=True, exist_ok=True)
    into.chmod(0o755)
    temporary = into / f".{source.name}.{os.getpid()}"
    if source.is_dir():
        shutil.copytree(source, temporary, symlinks=True)
    else:
        shutil.copy2(source, temporary)
    for path in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o111 else 0o444))
    temporary.replace(target)
    return target
