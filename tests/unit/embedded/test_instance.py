"""Ports, secrets and folders of an instance."""

import json
import stat
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from voicehelper.config import HttpSettings, Settings
from voicehelper.embedded.instance import Ports, choose_ports, open_instance, set_up
from voicehelper.embedded.ports import choose_port
from voicehelper.embedded.process import EngineError


def settings(home: Path, **http: int) -> Settings:
    return Settings(home=home, http=HttpSettings.model_validate(http))


def test_the_next_free_port_is_chosen() -> None:
    busy = {5000, 5001, 5003}
    assert choose_port(5000, free=lambda port: port not in busy) == 5002
    assert choose_port(5000, taken={5002}, free=lambda port: port not in busy) == 5004
    with pytest.raises(OSError, match="5000-5199"):
        choose_port(5000, free=lambda _port: False)


def test_remembered_ports_stay_and_only_the_taken_one_moves(tmp_path: Path) -> None:
    remembered = Ports(postgres=31000, redis=31001, http=31002, dashboard=31003, gcs=31004, agent=31005)
    chosen = choose_ports(settings(tmp_path), remembered, lambda port: port != 31001)
    expected = asdict(remembered) | {"redis": chosen.redis}
    assert asdict(chosen) == expected
    assert chosen.redis not in {31000, 31001, 31002, 31003, 31004, 31005}


def test_ports_are_distinct_even_when_the_search_runs_into_another(tmp_path: Path) -> None:
    chosen = choose_ports(settings(tmp_path), Ports(postgres=31000, redis=31000, gcs=31000), lambda _port: True)
    assert len(set(asdict(chosen).values())) == len(asdict(chosen))


def test_a_port_the_user_named_is_kept_or_refused(tmp_path: Path) -> None:
    assert choose_ports(settings(tmp_path, port=8123), None, lambda _port: True).http == 8123
    with pytest.raises(EngineError, match="8123 is taken"):
        choose_ports(settings(tmp_path, port=8123), None, lambda port: port != 8123)
    assert choose_ports(settings(tmp_path), None, lambda port: port != 8000).http == 8001


def test_set_up_is_stable_private_and_readable(tmp_path: Path) -> None:
    first = set_up(settings(tmp_path / "home"), lambda _port: True)
    assert set_up(settings(tmp_path / "home"), lambda _port: True) == first
    assert open_instance(settings(tmp_path / "home")) == first
    for path in (first.home / "keys" / "engines.json", first.ray_token_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (first.run, first.home / "keys", first.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len({first.secrets.postgres_password, first.secrets.redis_password, first.secrets.ray_token}) == 3


def test_a_damaged_secret_is_not_replaced_silently(tmp_path: Path) -> None:
    first = set_up(settings(tmp_path), lambda _port: True)
    (first.home / "keys" / "engines.json").write_text("{")
    assert open_instance(settings(tmp_path)) is None
    with pytest.raises(EngineError, match="damaged"):
        set_up(settings(tmp_path), lambda _port: True)


def test_damaged_ports_are_chosen_anew(tmp_path: Path) -> None:
    first = set_up(settings(tmp_path), lambda _port: True)
    (first.run / "ports.json").write_text(json.dumps({"postgres": 1, "nonsense": 2}))
    assert set_up(settings(tmp_path), lambda _port: True).ports == Ports()


def test_a_folder_that_cannot_be_made_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"Cannot write to .*VOICEHELPER_HOME"):
        set_up(settings(tmp_path / "file" / "home"), lambda _port: True)


def test_a_full_disk_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=7 * 2**20))
    with pytest.raises(EngineError, match="Only 7 MB are free"):
        set_up(settings(tmp_path), lambda _port: True)


# Seen with the default home of a user called "dev": one character too many, and Ray's dashboard took the head down.
SOCKET = "/session_2026-11-22_12-30-55_248860_4194304/sockets/dash_MetricsHead"


@pytest.mark.parametrize("name", ["h", "home/dev/.local/share/voicehelper", "long" * 20])
def test_rays_folder_stays_short_enough_for_unix_sockets(tmp_path: Path, name: str) -> None:
    folder = set_up(settings(tmp_path / name), lambda _port: True).ray_folder()
    assert len(f"{folder}{SOCKET}") <= 107
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_a_job_finds_our_own_python_first(tmp_path: Path) -> None:
    path = set_up(settings(tmp_path), lambda _port: True).environment()["PATH"]
    assert path.split(":")[0] == str(Path(sys.executable).parent)
