"""Waiting for a supervisor that has just been started, telling what becomes ready and what never will."""

import asyncio
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from voicehelper.cli.steps import Steps
from voicehelper.config import Settings
from voicehelper.embedded.control import stop_instance
from voicehelper.embedded.instance import Instance, open_instance
from voicehelper.embedded.logs import tail
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.status import component_records

_HOPELESS = 4  # failures in a row of one component before `up` gives up
_PATIENCE_S = 600.0
_LABELS = {
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "schema": "Database schema",
    "ray": "Ray head node",
    "application": "Serve application (gateway, models, indexer)",
}


async def first_word(settings: Settings, supervisor: subprocess.Popen[bytes]) -> Instance:
    """The instance as the supervisor set it up: its ports are known only now. Raises `EngineError` if it ended."""
    home = settings.home.absolute()
    while not (home / "run" / "status.json").exists():
        if supervisor.poll() is not None:
            raise EngineError(" ".join(tail(home / "logs" / "supervisor.log", 1)))
        await asyncio.sleep(0.05)
    instance = open_instance(settings)
    if instance is None:
        raise EngineError(f"{home} is damaged; see `voicehelper logs supervisor`")
    return instance


@dataclass
class Startup:
    """Watches the components of a starting instance."""

    settings: Settings
    instance: Instance
    supervisor: subprocess.Popen[bytes]
    steps: Steps
    _shown: set[str] = field(default_factory=set)

    async def wait(self) -> None:
        """Print each component when it is ready. Stops everything and raises `EngineError` when one cannot start."""
        deadline = time.monotonic() + _PATIENCE_S
        with self.steps.spinner("starting"):
            while True:
                records = component_records(self.instance)
                self._show_ready(records)
                pending = [r for r in records if r["name"] not in self._shown]
                if records and not pending:
                    return
                self.steps.waiting(", ".join(label(r) for r in pending if r["state"] != "waiting"))
                self._give_up_if_hopeless(pending, deadline)
                await asyncio.sleep(0.1)

    def _show_ready(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            if record["state"] == "ready" and record["name"] not in self._shown:
                self._shown.add(record["name"])
                self.steps.done(label(record), record["ready_ms"] / 1000, _note(record))

    def _give_up_if_hopeless(self, pending: list[dict[str, Any]], deadline: float) -> None:
        if self.supervisor.poll() is not None:
            last = tail(self.instance.logs / "supervisor.log", 1)
            raise EngineError(f"The supervisor ended: {' '.join(last)}")
        lost = [r for r in pending if r["failures"] >= _HOPELESS]
        if not lost and time.monotonic() < deadline:
            return
        record = (lost or pending)[0]
        lines = tail(self.instance.logs / f"{record['name']}.log", 5)
        stop_instance(self.settings)
        raise EngineError(
            "\n".join([f"{label(record)} cannot be started: {record['reason']}", *lines])
            + f"\nEverything was stopped again. Logs: {self.instance.logs}"
        )


async def wait_until_ready(instance: Instance, steps: Steps) -> None:
    """Until `/ready` answers 200. Raises `EngineError` after ten minutes."""
    begun = time.monotonic()
    reason = ""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        with steps.spinner("waiting for the API"):
            while time.monotonic() - begun < _PATIENCE_S:
                try:
                    response = await client.get(f"{instance.http_url}/ready")
                    if response.status_code == httpx.codes.OK:
                        steps.done(f"API ready at {instance.http_url}", time.monotonic() - begun)
                        return
                    reason = response.text[:300]
                except httpx.HTTPError as error:
                    reason = str(error)
                await asyncio.sleep(0.1)
    raise EngineError(f"The API does not become ready: {reason}. See `voicehelper status` and `voicehelper logs`.")


def label(record: dict[str, Any]) -> str:
    """A component's name for people."""
    name: str = record["name"]
    return _LABELS.get(name, name)


def _note(record: dict[str, Any]) -> str:
    port = f"port {record['port']}" if record["port"] else ""
    return ", ".join(part for part in (record["version"], port, "" if record["managed"] else "yours") if part)
