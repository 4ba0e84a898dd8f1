"""As root and as an ordinary user; and nothing outlives its supervisor."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest

from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import NOBODY, EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey

ROOT = Path(__file__).parents[3]

START_AND_WAIT = """
import asyncio, sys, time
from pathlib import Path
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.valkey import EmbeddedValkey

home, ports = Path(sys.argv[1]), [int(p) for p in sys.argv[2:4]]
engines = [EmbeddedPostgres(home / "postgres", ports[0], "pw", home / "log"),
           EmbeddedValkey(home / "valkey", ports[1], "pw", home / "log")]
running = []
for engine in engines:
    engine.prepare()
    running.append(engine.start())
deadline = time.monotonic() + 60
for engine in engines:
    while True:
        try:
            asyncio.run(engine.check())
            break
        except EngineError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
print(*(process.pid for process in running), flush=True)
sys.stdin.read()
for engine, process in zip(engines, running):
    process.send_signal(engine.stop_signal)
    assert process.wait(20) == 0
"""


def python_for(uid: int) -> str | None:
    """An interpreter of our version that the account can run (a virtual environment under /root is not)."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in filter(None, [sys.executable, f"/usr/bin/{version}", shutil.which(version)]):
        try:
            probe = subprocess.run(
                [candidate, "-c", "import voicehelper.embedded.valkey"],
                user=uid,
                check=False,
                env=environment(),
                stderr=subprocess.DEVNULL,
            )
        except PermissionError:
            continue
        if probe.returncode == 0:
            return candidate
    return None


def environment() -> dict[str, str]:
    return {"PYTHONPATH": f"{ROOT}:{sysconfig.get_paths()['purelib']}", "PATH": os.defpath}


def start_script(home: Path, python: str, user: int | None) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [python, "-c", START_AND_WAIT, str(home), str(random_port()), str(random_port())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        env=environment(),
        cwd=home,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (home / "log").read_text() if (home / "log").exists() else "the script failed"
    return process, [int(pid) for pid in line.split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_starts_and_stops_the_engines(engine_folder: Path) -> None:
    python = python_for(NOBODY)
    if python is None:
        pytest.skip("no interpreter of this version is readable by other users")
    home = engine_folder / "ordinary"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    script, pids = start_script(home, python, NOBODY)
    assert {psutil.Process(pid).uids().real for pid in pids} == {NOBODY}
    script.communicate("", timeout=60)
    assert script.returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(os.geteuid() != 0, reason="about root")
def test_as_root_the_engines_run_as_another_account(engine_folder: Path) -> None:
    home = engine_folder / "as-root"
    home.mkdir()
    script, pids = start_script(home, sys.executable, None)
    assert {psutil.Process(pid).uids().real for pid in pids} == {NOBODY}
    assert (home / "postgres" / "data").stat().st_uid == NOBODY
    script.communicate("", timeout=60)
    assert script.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="about root")
def test_a_folder_the_account_cannot_enter_is_told_plainly(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    engine = EmbeddedPostgres(tmp_path / "postgres", random_port(), "pw", tmp_path / "log")
    with pytest.raises(EngineError, match=r"cannot enter .*chmod o\+x"):
        engine.prepare()


def test_killing_the_parent_leaves_nothing_running(engine_folder: Path) -> None:
    home = engine_folder / "orphans"
    home.mkdir()
    script, pids = start_script(home, sys.executable, None)
    family = [child for pid in pids for child in [psutil.Process(pid), *psutil.Process(pid).children()]]
    assert len(family) > 2
    script.kill()
    script.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []


def test_an_interrupted_initdb_is_done_again(engine_folder: Path) -> None:
    home = engine_folder / "interrupted"
    engine = EmbeddedPostgres(home / "postgres", random_port(), "pw", engine_folder / "log", durable=False)
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "half").write_text("")
    engine.prepare()
    process = engine.start()
    try:
        _wait(engine)
        assert not (home / "postgres" / "data.new").exists()
    finally:
        stop(process, sign=signal.SIGINT)


def test_a_wrong_password_is_refused(engine_folder: Path) -> None:
    port = random_port()
    engine = EmbeddedValkey(engine_folder / "secret", port, "right", engine_folder / "log", durable=False)
    engine.prepare()
    process = engine.start()
    try:
        _wait(engine)
        intruder = EmbeddedValkey(engine_folder / "secret", port, "wrong", engine_folder / "log")
        with pytest.raises(EngineError):
            asyncio.run(intruder.check())
    finally:
        stop(process)


def _wait(engine: EmbeddedPostgres | EmbeddedValkey) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            asyncio.run(engine.check())
            return
        except EngineError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
