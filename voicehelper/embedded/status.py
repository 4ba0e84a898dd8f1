"""What `voicehelper status` shows: every engine, Ray, deployment, replica and model of an instance."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from voicehelper.config import Settings
from voicehelper.embedded.instance import Instance, open_instance
from voicehelper.embedded.models import ModelEntry, ModelStore, default_models, open_store
from voicehelper.embedded.pidfile import Owner, owner_of
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.ray import serve_api


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `memory` in bytes: shared pages are split among those who share them where the kernel tells."""

    kind: str  # engine, deployment, replica, model
    name: str
    state: str
    version: str = ""
    port: int = 0
    pid: int | None = None
    memory: int = 0
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole picture."""

    running: bool
    home: str
    http_url: str
    dashboard_url: str
    rows: list[Row]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def supervisor_of(settings: Settings) -> Owner | None:
    """The instance's supervisor, None when it does not run."""
    return owner_of(settings.home.absolute() / "run" / "supervisor.pid")


def component_records(instance: Instance) -> list[dict[str, Any]]:
    """What the supervisor last wrote about its components; empty before its first word."""
    try:
        records: list[dict[str, Any]] = json.loads((instance.run / "status.json").read_text())["components"]
    except (OSError, ValueError):
        return []
    return records


async def report(settings: Settings) -> Report:
    """Look at everything; works whether or not the instance runs."""
    instance = open_instance(settings)
    owner = supervisor_of(settings)
    if instance is None or owner is None:
        home = str(settings.home.absolute())
        return Report(False, home, "", "", model_rows(settings))
    serve = await _serve_details(instance)
    replicas = {r["pid"] for _, _, r in _replicas(serve) if r.get("pid")}
    rows = [Row("engine", "supervisor", "ready", pid=owner.pid, memory=own_memory(owner.pid))]
    rows += [_component_row(record, replicas) for record in component_records(instance)]
    rows += deployment_rows(serve)
    rows += model_rows(settings)
    return Report(True, str(instance.home), instance.http_url, instance.dashboard_url, rows)


def deployment_rows(serve: dict[str, Any]) -> list[Row]:
    """Deployments with their replicas, from Serve's own account of itself."""
    rows = []
    for application, found in serve.get("applications", {}).items():
        for name, deployment in found["deployments"].items():
            rows.append(Row("deployment", name, deployment["status"].lower(), detail=deployment.get("message", "")))
            rows += [_replica_row(r) for a, d, r in _replicas(serve) if (a, d) == (application, name)]
    return rows


def model_rows(settings: Settings) -> list[Row]:
    """The models this configuration uses."""
    store = open_store(settings)
    return [_model_row(store, store.manifest.get(name)) for name in default_models(settings)]


def _model_row(store: ModelStore, entry: ModelEntry) -> Row:
    state = "present" if store.present(entry) else "missing"
    return Row("model", entry.name, state, detail=f"{entry.role}, {store.manifest.size_of(entry) >> 20} MB")


def memory_of(pid: int, besides: frozenset[int] | set[int] = frozenset()) -> int:
    """Bytes of main memory of a process and its descendants, `besides` left out."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_own_memory(p) for p in family if p.pid not in besides)


def own_memory(pid: int) -> int:
    """Bytes of main memory of one process."""
    try:
        return _own_memory(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return 0


def _own_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _component_row(record: dict[str, Any], replicas: set[int]) -> Row:
    pid = record["pid"]
    return Row(
        "engine",
        record["name"] if record["managed"] else f"{record['name']} (yours)",
        record["state"],
        record["version"],
        record["port"],
        pid,
        memory_of(pid, replicas) if pid else 0,
        record["restarts"],
        record["reason"],
    )


def _replica_row(replica: dict[str, Any]) -> Row:
    pid = replica.get("pid")
    memory = memory_of(pid) if pid else 0
    return Row("replica", replica["replica_id"], replica["state"].lower(), pid=pid, memory=memory)


def _replicas(serve: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (application, name, replica)
        for application, found in serve.get("applications", {}).items()
        for name, deployment in found["deployments"].items()
        for replica in deployment.get("replicas", [])
    ]


async def _serve_details(instance: Instance) -> dict[str, Any]:
    try:
        return await serve_api(instance).applications(timeout=5)
    except EngineError:
        return {}
