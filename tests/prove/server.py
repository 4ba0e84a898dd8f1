"""A server of our own for the proof: `voicehelper up` in a temporary folder, reached as a user reaches it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    home: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {**os.environ, "VOICEHELPER_HOME": str(self.home)}
        for name in ("VOICEHELPER_POSTGRES_URL", "VOICEHELPER_REDIS_URL", "RAY_ADDRESS"):
            self.environment.pop(name, None)

    def cli(self, *args: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run the `voicehelper` command to its end."""
        with self.log.open("a") as log:
            log.write(f"\n$ voicehelper {' '.join(args)}\n")
        done = subprocess.run(
            [self.executable("voicehelper"), *args],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        with self.log.open("a") as log:
            log.write(done.stdout + done.stderr)
        return done

    def spawn(self, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of the virtual environment in the background, its output in the proof's log."""
        log = self.log.open("ab")
        return subprocess.Popen(
            command, env={**self.environment, **environment}, stdout=log, stderr=log, start_new_session=True, cwd=ROOT
        )

    @staticmethod
    def executable(name: str) -> str:
        return str(Path(sys.executable).with_name(name))

    def status(self) -> dict[str, Any]:
        """What `voicehelper status --json` says."""
        status: dict[str, Any] = json.loads(self.cli("status", "--json").stdout)
        return status

    def api(self) -> httpx.Client:
        """A client logged in as the administrator."""
        admin = json.loads((self.home / "keys" / "admin.json").read_text())
        ports = json.loads((self.home / "run" / "ports.json").read_text())
        url = f"http://127.0.0.1:{ports['http']}"
        body = {"email": admin["email"], "password": admin["password"]}
        login = httpx.post(f"{url}/api/v1/auth/login", json=body, timeout=30)
        login.raise_for_status()
        authorization = {"Authorization": f"Bearer {login.json()['access_token']}"}
        return httpx.Client(base_url=url, timeout=180, headers=authorization)

    def sql(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Rows of a query, straight from PostgreSQL."""
        url = json.loads((self.home / "run" / "engines.json").read_text())["postgres_url"]

        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(url)
            try:
                return [dict(row) for row in await connection.fetch(query, *args)]
            finally:
                await connection.close()

        return asyncio.run(fetch())


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.25) -> float:
    """Seconds until `condition` held (an engine being down counts as not yet). Raises `TimeoutError`."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            if condition():
                return time.monotonic() - started
        except (httpx.HTTPError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, KeyError):
            pass
        time.sleep(every)
    raise TimeoutError(f"not within {seconds} s")
