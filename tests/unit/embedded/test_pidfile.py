"""The pid file tells the truth about who runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from voicehelper.embedded.pidfile import AlreadyRunning, Owner, hold, owner_of

HOLDER = """
import sys, time
from pathlib import Path
from voicehelper.embedded.pidfile import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_only_one_owner_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.pid"
    assert owner_of(path) is None
    with hold(path) as owner:
        assert owner.pid == os.getpid()
        assert owner_of(path) == owner
        with pytest.raises(AlreadyRunning), hold(path):
            pass
    assert owner_of(path) is None
    with hold(path):
        pass


def test_a_stale_file_owns_nothing_even_if_its_pid_lives(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text(json.dumps({"pid": os.getpid(), "started": 0.0}))
    assert owner_of(path) is None
    with hold(path) as owner:
        assert owner.pid == os.getpid()


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    owner = owner_of(path)
    assert owner is not None
    assert owner.pid == holder.pid
    assert owner.process() is not None
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert owner_of(path) is None
    assert owner.process() is None


def test_a_process_that_took_over_the_pid_is_not_the_owner() -> None:
    assert Owner(os.getpid(), started=1.0).process() is None
