"""The commands of the machine's owner where nothing runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicehelper.cli.main import app
from voicehelper.config import Settings
from voicehelper.embedded.instance import set_up
from voicehelper.embedded.pidfile import hold


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEHELPER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOICEHELPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VOICEHELPER_POSTGRES_URL", raising=False)
    monkeypatch.delenv("VOICEHELPER_REDIS_URL", raising=False)
    return tmp_path / "home"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_down_is_idempotent_and_makes_nothing(home: Path) -> None:
    assert run("down") == (0, "Not running\n")
    assert not home.exists()


def test_down_does_not_believe_a_stale_pid_file(home: Path) -> None:
    (home / "run").mkdir(parents=True)
    (home / "run" / "supervisor.pid").write_text(json.dumps({"pid": 1, "started": 0.0}))
    assert run("down") == (0, "Not running\n")


def test_status_says_that_nothing_runs_and_which_models_are_missing(home: Path) -> None:
    code, text = run("status")
    assert code == 3
    assert "Not running" in text
    code, text = run("status", "--json")
    report = json.loads(text)
    assert (code, report["running"]) == (3, False)
    assert {row["state"] for row in report["rows"]} == {"missing"}


def test_logs_and_env_need_an_instance(home: Path) -> None:
    assert run("env")[0] == 1
    assert run("logs", "postgres")[0] == 1


def test_logs_shows_the_end_of_a_components_log(home: Path) -> None:
    instance = set_up(Settings(), lambda _port: True)
    (instance.logs / "valkey.log").write_text("one\ntwo\nthree\n")
    assert run("logs", "valkey", "-n", "2") == (0, "two\nthree\n")
    code, text = run("logs", "redis")
    assert code == 1
    assert "valkey" in text


def test_env_prints_assignments_for_ray(home: Path) -> None:
    instance = set_up(Settings(), lambda _port: True)
    code, text = run("env")
    assert code == 0
    assert f"export RAY_API_SERVER_ADDRESS={instance.dashboard_url}" in text
    assert f"export RAY_AUTH_TOKEN_PATH={instance.ray_token_file}" in text
    assert instance.secrets.ray_token not in text


def test_up_tells_plainly_that_the_folder_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("a file")
    code, text = run("up")
    assert code == 1
    assert "VOICEHELPER_HOME" in text
    assert "Traceback" not in text


def test_a_second_up_waits_for_the_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Exception):
        """Stands for the time passing while the other `up` holds the lock."""

    def no_time(seconds: float) -> None:
        if seconds >= 0.5:  # the pause between two looks at the lock
            raise Interrupted

    with hold(home / "run" / "up.lock"):
        monkeypatch.setattr("voicehelper.cli.up.time.sleep", no_time)
        result = CliRunner().invoke(app, ["up"])
    assert "Another `voicehelper up` is at work here" in result.output
    assert isinstance(result.exception, Interrupted)
