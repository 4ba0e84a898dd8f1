"""One installation on one machine: its folder, its ports, its secrets. Everything here lies under `Settings.home`.

run/     pid file, status, ports, engines.json (Settings.runtime_file), metrics of all processes; private
keys/    passwords, tokens, the administrator; private
logs/    one file per component; private
postgres/ valkey/    the engines' data
objects/ keyword/ ...    written by the application
"""

import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from voicehelper.config import Settings, process_environment
from voicehelper.embedded.ports import choose_port, is_free
from voicehelper.embedded.process import EngineError, write_private

MARK = "VOICEHELPER_INSTANCE"
"""Environment variable that every process of an instance carries; its value is the home folder."""

_LONGEST_RAY_FOLDER = 35  # a unix socket path has 107, and Ray adds up to 72: /session_.../sockets/dash_MetricsHead
_SMALLEST_DISK = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of this instance, all on the loopback. The values here are where the search for a free one starts."""

    postgres: int = 25432
    redis: int = 26379
    http: int = 8000
    dashboard: int = 8265
    gcs: int = 26479
    agent: int = 26579
    ray_client: int = 26679


@dataclass(frozen=True, slots=True)
class Secrets:
    """Generated once, kept in `keys/`."""

    postgres_password: str
    redis_password: str
    ray_token: str


@dataclass(frozen=True, slots=True)
class Instance:
    """Where everything of one installation is."""

    home: Path
    ports: Ports
    secrets: Secrets
    http_host: str = "127.0.0.1"

    @property
    def run(self) -> Path:
        """Folder of what lives as long as the supervisor."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of the components' logs."""
        return self.home / "logs"

    @property
    def metrics(self) -> Path:
        """Folder in which all processes share their Prometheus samples."""
        return self.run / "metrics"

    @property
    def ray_token_file(self) -> Path:
        """Ray's authentication token, for `RAY_AUTH_TOKEN_PATH`."""
        return self.home / "keys" / "ray.token"

    @property
    def http_url(self) -> str:
        """Where the API can be reached from this machine."""
        host = "127.0.0.1" if self.http_host in ("0.0.0.0", "") else self.http_host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.ports.http}"

    @property
    def dashboard_url(self) -> str:
        """Ray's dashboard and REST interface."""
        return f"http://127.0.0.1:{self.ports.dashboard}"

    def ray_folder(self) -> Path:
        """Ray's session folder: under home if the path is short enough for unix sockets, else private under /tmp."""
        folder = self.run / "ray"
        if len(str(folder)) > _LONGEST_RAY_FOLDER:
            digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
            folder = Path(tempfile.gettempdir()) / f"voicehelper-{os.geteuid()}-{digest}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise EngineError(f"{folder} belongs to another user; remove it")
        return folder

    def ray_environment(self) -> dict[str, str]:
        """What the `ray` command needs to talk to this instance's cluster."""
        return {
            "RAY_API_SERVER_ADDRESS": self.dashboard_url,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.ray_token_file),
        }

    def environment(self) -> dict[str, str]:
        """Environment of every process of this instance; our own `python` first, for `ray job submit -- python ...`."""
        inherited = process_environment()
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
            **self.ray_environment(),
            MARK: str(self.home),
            "VOICEHELPER_HOME": str(self.home),
            "VOICEHELPER_HTTP__PORT": str(self.ports.http),
            "PROMETHEUS_MULTIPROC_DIR": str(self.metrics),
        }


def open_instance(settings: Settings) -> Instance | None:
    """The instance as it was set up under `settings.home`; None where there is none."""
    home = settings.home.absolute()
    try:
        ports = Ports(**json.loads((home / "run" / "ports.json").read_text()))
        known = Secrets(**json.loads((home / "keys" / "engines.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return Instance(home, ports, known, settings.http.host)


def set_up(settings: Settings, free: Callable[[int], bool] = is_free) -> Instance:
    """Make the folders, secrets and ports, or take up what is there.

    Call it only while no supervisor of this home runs: a remembered port that is taken is then a stranger's, and
    another one is chosen.

    Raises:
        EngineError: the folder cannot be written, the disk is full, or a port asked for by name is taken.
    """
    home = settings.home.absolute()
    make_folders(home)
    known = _secrets(home / "keys" / "engines.json")
    ports = choose_ports(settings, _remembered(home / "run" / "ports.json"), free)
    write_private(home / "run" / "ports.json", json.dumps(asdict(ports)))
    instance = Instance(home, ports, known, settings.http.host)
    write_private(instance.ray_token_file, known.ray_token)
    return instance


def choose_ports(settings: Settings, remembered: Ports | None, free: Callable[[int], bool] = is_free) -> Ports:
    """Remembered ports where they are free, else the next free ones.

    An HTTP port that the user set is kept or refused, never moved.
    """
    wanted = remembered or Ports()
    remembered_ones = set(asdict(wanted).values())
    taken: set[int] = set()
    chosen: dict[str, int] = {}
    for field in fields(Ports):
        if field.name == "http" and "port" in settings.http.model_fields_set:
            port = settings.http.port
            if not free(port):
                raise EngineError(f"Port {port} is taken by another program; set VOICEHELPER_HTTP__PORT to a free one")
        else:
            preferred: int = getattr(wanted, field.name)
            port = choose_port(preferred, taken | (remembered_ones - {preferred}), free)
        chosen[field.name] = port
        taken.add(port)
    return Ports(**chosen)


def make_folders(home: Path) -> None:
    """Make the folders of an instance, and see that they can be written.

    Raises:
        EngineError: they cannot, or the disk is full.
    """
    try:
        fresh = not home.exists()
        home.mkdir(parents=True, exist_ok=True)
        if fresh and os.geteuid() == 0:
            home.chmod(0o711)  # the engines' account must pass through
        for name in ("run", "keys", "logs"):
            (home / name).mkdir(exist_ok=True)
            (home / name).chmod(0o700)
        with tempfile.NamedTemporaryFile(dir=home / "run") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise EngineError(
            f"Cannot write to {home}: {error.strerror or error}. Set VOICEHELPER_HOME to a folder you may write to."
        ) from error
    free = shutil.disk_usage(home).free
    if free < _SMALLEST_DISK:
        raise EngineError(f"Only {free // 2**20} MB are free in {home}; {_SMALLEST_DISK // 2**20} MB are needed")


def _secrets(path: Path) -> Secrets:
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        fresh = Secrets(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_hex(32))
        write_private(path, json.dumps(asdict(fresh)))
        return fresh
    except (ValueError, TypeError) as error:
        raise EngineError(f"{path} is damaged; restore it (the engines' passwords are in it)") from error


def _remembered(path: Path) -> Ports | None:
    try:
        return Ports(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
