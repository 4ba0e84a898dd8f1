"""A whole installation for the benches that need one: `voicehelper up` in a temporary folder, on ports of its own."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.prove.server import Server, wait_until
from voicehelper.config import Settings
from voicehelper.embedded.instance import Ports
from voicehelper.embedded.ports import random_port

__all__ = ["Metrics", "Server", "installation", "settings_of", "start", "stop", "wait_until", "warmed_up"]


@contextmanager
def installation() -> Iterator[Server]:
    """A home that is not started yet; whatever runs there at the end is stopped and everything is removed."""
    folder = Path(tempfile.mkdtemp(prefix="vh-bench-"))
    server = Server(folder / "home", folder / "log")
    server.environment["VOICEHELPER_LIMITS__ENABLED"] = "false"  # one user asks here as fast as he can
    (server.home / "run").mkdir(parents=True)
    for path in (folder, server.home):
        path.chmod(0o755)  # PostgreSQL runs as another user when we are root
    (server.home / "run" / "ports.json").write_text(json.dumps(asdict(_ports())))
    try:
        yield server
    finally:
        stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def start(server: Server, *arguments: str) -> str:
    """`voicehelper up`; returns what it printed. Raises `SystemExit` with its words when it fails."""
    done = server.cli("up", *arguments)
    if done.returncode:
        raise SystemExit(f"voicehelper up failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def stop(server: Server) -> None:
    """`voicehelper down`."""
    server.cli("down", timeout=120)


def settings_of(server: Server) -> Settings:
    """The installation's settings, for code of ours that runs in this process."""
    return Settings(home=server.home)


def _ports() -> Ports:
    names: Sequence[str] = [field.name for field in fields(Ports)]
    chosen: set[int] = set()
    while len(chosen) < len(names):
        chosen.add(random_port())
    return Ports(**dict(zip(names, chosen, strict=True)))


class Metrics:
    """The installation's Prometheus metrics, summed over its processes."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def value(self, sample: str, **labels: str) -> float:
        """The sum of all samples of that name that carry these labels."""
        text = self._api.get("/metrics").raise_for_status().text
        return sum(
            found.value
            for family in text_string_to_metric_families(text)
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )


def warmed_up(metrics: Metrics, slots: int, patience_s: float = 180.0) -> float:
    """Seconds until the chat model had read the stable prefix in every slot, as it does after each start."""
    name = "voicehelper_chat_tokens_total"
    return wait_until(lambda: metrics.value(name, kind="completion") >= slots, patience_s)
