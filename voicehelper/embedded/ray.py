"""The Ray head node and the Serve application on it, driven by Ray's own command and REST interface.

VoiceHelper's library never imports ray: the head is the `ray` command of the same environment, the application is
deployed by `PUT /api/serve/applications/`.
"""

import importlib.metadata
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from voicehelper.embedded.component import end_process
from voicehelper.embedded.instance import Instance
from voicehelper.embedded.policy import Limits
from voicehelper.embedded.process import EngineBroken, EngineError, spawn

_OBJECT_STORE_BYTES = 256 * 2**20
_GRACE_S = 8.0


class ServeApi:
    """Ray's REST interface for Serve. Every method raises `EngineError` when it does not answer."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ray_version(self, timeout: float = 3.0) -> str:
        """Version of the running head."""
        return str((await self._request("GET", "/api/version", timeout))["ray_version"])

    async def applications(self, timeout: float = 10.0) -> dict[str, Any]:
        """Everything Serve says about applications, deployments, replicas and proxies."""
        return await self._request("GET", "/api/serve/applications/", timeout)

    async def deploy(self, config: Mapping[str, Any], timeout: float = 60.0) -> None:
        """Declare the wanted applications; returns when Serve has accepted them, not when they run."""
        await self._request("PUT", "/api/serve/applications/", timeout, json=dict(config))

    async def withdraw(self, timeout: float) -> None:
        """Shut Serve down; returns when its replicas have ended."""
        await self._request("DELETE", "/api/serve/applications/", timeout)

    async def _request(self, method: str, path: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(timeout=timeout, headers=self._headers, trust_env=False) as client:
                response = await client.request(method, self._url + path, **arguments)
        except httpx.HTTPError as error:
            raise EngineError(f"Ray's dashboard does not answer: {error or type(error).__name__}") from error
        if response.is_error:
            raise EngineError(f"Ray's dashboard answered {response.status_code}: {response.text[:500]}")
        content: dict[str, Any] = response.json() if response.content else {}
        return content


@dataclass
class RayHead:
    """The head node: GCS, raylet, dashboard; they all end with the one process started here."""

    instance: Instance
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    # A busy dashboard is no reason to end every replica; a dead head is noticed by its process, at once.
    limits: Limits = Limits(start_timeout=90.0, misses=20)
    check_every: float = 2.0
    managed: bool = True

    name = "ray"

    @property
    def port(self) -> int:
        """The dashboard's port."""
        return self.instance.ports.dashboard

    async def start(self) -> subprocess.Popen[bytes]:
        """Start the head with a fresh session folder."""
        folder = self.instance.ray_folder()
        for old in folder.glob("session_*"):
            old.unlink() if old.is_symlink() else shutil.rmtree(old, ignore_errors=True)
        return spawn(
            [Path(sys.executable).parent / "ray", *self._arguments(folder)],
            log=self.instance.logs / "ray.log",
            env={**self.instance.environment(), **_RAY_ENVIRONMENT},
            cwd=self.instance.home,
        )

    async def check(self) -> str:
        """Ray's version, once the dashboard answers."""
        return await serve_api(self.instance).ray_version()

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """End the head and with it all replicas."""
        if process is not None:
            await end_process(process, signal.SIGTERM, 15.0)

    def _arguments(self, folder: Path) -> list[str]:
        ports = self.instance.ports
        arguments: dict[str, object] = {
            "port": ports.gcs,
            "include-dashboard": "true",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": ports.dashboard,
            "dashboard-agent-listen-port": ports.agent,
            "ray-client-server-port": ports.ray_client,  # cannot be turned off
            "min-worker-port": 0,  # any free ones
            "max-worker-port": 0,
            "temp-dir": folder,
            "object-store-memory": _OBJECT_STORE_BYTES,
            "include-log-monitor": "false",  # nobody reads drivers' output here
            "log-color": "false",
        }
        options = [f"--{name}={value}" for name, value in arguments.items()]
        return ["start", "--head", "--block", "--disable-usage-stats", *options]


_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # there is no other node to move replicas to
    "RAY_ROTATION_MAX_BYTES": str(10 * 2**20),
    "RAY_ROTATION_BACKUP_COUNT": "2",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_worker_niceness": "5",  # 15 would leave the language model's threads no lower priority to take
    # A dead HTTP proxy is replaced after three failed checks; every ten seconds would be half a minute of silence.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass
class ServeApplication:
    """The application on the head: declared once the head is up, then kept running by Serve itself."""

    instance: Instance
    config: Mapping[str, Any]
    needs: tuple[str, ...] = ("ray",)
    follows: tuple[str, ...] = ("ray",)
    limits: Limits = Limits(
        start_timeout=300.0, misses=30
    )  # Serve repairs replicas; deploying again is the last resort
    check_every: float = 2.0
    managed: bool = True

    name = "application"

    @property
    def port(self) -> int:
        """The API's port."""
        return self.instance.ports.http

    async def start(self) -> None:
        """Declare it to Serve."""
        await serve_api(self.instance).deploy(self.config)

    async def check(self) -> str:
        """Our version, when every application runs and the HTTP proxy answers."""
        listed = (await serve_api(self.instance).applications())["applications"]
        for name in (wanted["name"] for wanted in self.config["applications"]):
            state = listed.get(name, {"status": "NOT_STARTED", "message": ""})
            if state["status"] == "DEPLOY_FAILED":
                raise EngineBroken(f"The application cannot be deployed: {why_failed(state)}")
            if state["status"] != "RUNNING":
                raise EngineError(f"Serve says {state['status']}: {_last_line(state['message'])}")
        try:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                (await client.get(f"{self.instance.http_url}/-/healthz")).raise_for_status()
        except httpx.HTTPError as error:
            raise EngineError(f"The HTTP proxy does not answer: {error}") from error
        return importlib.metadata.version("voicehelper")

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        """Let replicas finish what they are doing, for a short while; what remains ends with the head."""
        with suppress(EngineError):
            await serve_api(self.instance).withdraw(_GRACE_S)


def serve_api(instance: Instance) -> ServeApi:
    """The REST interface of this instance's head."""
    return ServeApi(instance.dashboard_url, instance.secrets.ray_token)


def why_failed(application: Mapping[str, Any]) -> str:
    """One line from Serve's account of an application: the first failing deployment's error, else its own."""
    for name, deployment in application.get("deployments", {}).items():
        if deployment["status"] != "HEALTHY" and deployment.get("message"):
            return f"{name}: {_last_line(deployment['message'])}"
    return _last_line(application.get("message", ""))


def _last_line(message: str) -> str:
    lines = [line for line in message.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
