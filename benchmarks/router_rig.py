"""The servers of the comparison with LiteLLM, as processes: the mock upstream, LiteLLM's proxy, our gateway alone, and
a whole installation of ours; what they use of the processor and of memory; and rounds of load on them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.chat_load import Found, Told
from benchmarks.instance_rig import Server
from voicehelper.embedded.instance import MARK

ROOT = Path(__file__).resolve().parents[1]
LITELLM = ROOT / ".bench" / "litellm"
CONFIGS = Path(__file__).with_name("litellm")
MASTER_KEY = "sk-bench-8f2c6d1e9a7b4f30"
MODEL = "bench"
PROMPT_MICROS, COMPLETION_MICROS = 10, 100
"""Micro-dollars a token; 10 and 100 dollars for a million, the same in benchmarks/litellm/budget.yaml."""
_READY_S = 120.0


@dataclass(frozen=True)
class Target:
    """A server under load. `processes` gives the pids whose work counts as its own."""

    name: str
    port: int
    key: str
    model: str
    processes: Callable[[], set[int]]
    streams: bool = True


@dataclass
class Round:
    """What one target did under one load: the load's own figures and the target's processor time."""

    found: Found
    cpu_s: float


def litellm() -> Path:
    """LiteLLM's command, installed into an environment of its own if need be (some 250 packages)."""
    command, made = LITELLM / "bin" / "litellm", LITELLM / "made"
    if not made.exists():
        venv.create(LITELLM, with_pip=True, clear=True)
        wanted = ["-r", str(CONFIGS / "requirements.txt")]
        subprocess.run([LITELLM / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted], check=True)
        made.touch()
    return command


@contextmanager
def mock_upstream(*arguments: str) -> Iterator[Target]:
    """benchmarks.mock_upstream."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.mock_upstream", str(port), *arguments]
    with _process(command, port, "/ready", {}) as pid:
        yield Target("the mock itself", port, "none", MODEL, lambda: family(pid))


@contextmanager
def litellm_proxy(name: str, config: str, upstream: Target, workers: int = 1, **environment: str) -> Iterator[Target]:
    """LiteLLM's proxy as its pages on production have it: production mode, errors alone logged."""
    port = free_port()
    command = [str(litellm()), "--config", str(CONFIGS / f"{config}.yaml"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(workers)]
    given = {
        "BENCH_UPSTREAM": f"http://127.0.0.1:{upstream.port}/v1",
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
    }
    with _process(command, port, "/health/liveliness", given | environment) as pid:
        yield Target(name, port, MASTER_KEY, MODEL, lambda: family(pid), streams=config != "network_mock")


def family(pid: int) -> set[int]:
    """A process and all it has started."""
    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}


def engines(server: Server) -> set[int]:
    """PostgreSQL and Valkey of an installation, with the processes they made."""
    status = json.loads((server.home / "run" / "status.json").read_text())
    pids = [row["pid"] for row in status["components"] if row["name"] in {"postgres", "valkey"}]
    return set().union(*(family(pid) for pid in pids))


def all_of(server: Server) -> set[int]:
    """Every process of an installation: engines, Ray, replicas."""
    found, mark = set(), str(server.home.absolute())
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found |= family(process.pid)
        except (psutil.Error, OSError):
            continue
    return found | engines(server)


def cpu_s(pids: set[int]) -> float:
    """What these processes have used so far."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def memory_mib(pids: set[int]) -> float:
    """Resident memory of these processes, what they share counted once for each sharer's part of it."""
    total = 0.0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def under_load(target: Target, told: Told) -> Round:
    """One round, from a process of its own."""
    pids = target.processes()
    before = cpu_s(pids)
    command = [sys.executable, "-m", "benchmarks.chat_load"]
    given = json.dumps(asdict(told))
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=True, timeout=300)
    found = Found(**json.loads(done.stdout))
    found.failures = {int(status): count for status, count in found.failures.items()}
    return Round(found, cpu_s(pids) - before)


def begun(upstream: Target) -> int:
    """Completions that the mock has begun."""
    reply = httpx.get(f"http://127.0.0.1:{upstream.port}/count", trust_env=False)
    return int(reply.json()["begun"])


def light(server: Server, **environment: Any) -> None:
    """An installation without models of its own: what it needs to be a gateway to others."""
    fake = json.dumps({"backend": "fake"})
    server.environment |= {"VOICEHELPER_CHAT": fake, "VOICEHELPER_EMBEDDER": fake}
    server.environment |= {f"VOICEHELPER_{model}": json.dumps({"backend": "off"}) for model in ("STT", "TTS")}
    server.environment["VOICEHELPER_TELEMETRY__LOG_LEVEL"] = "ERROR"  # as LiteLLM's
    for node in ("CHAT", "EMBEDDER", "STT", "TTS"):
        server.environment[f"VOICEHELPER_TOPOLOGY__{node}"] = "inline"
    server.environment |= {name: str(value) for name, value in environment.items()}


def add_model(api: httpx.Client, upstream: Target, name: str = MODEL) -> None:
    """The mock as a model of the catalogue, priced; returns when it answers."""
    body = {
        "name": name,
        "owner": "platform",  # a tenant's own must be public, over https
        "provider": "openai_compatible",
        "remote": "mock",
        "base_url": f"http://127.0.0.1:{upstream.port}/v1",
        "capabilities": ["stream"],
        "context_tokens": 8192,
        "price": {"prompt": PROMPT_MICROS * 10**6, "completion": COMPLETION_MICROS * 10**6},
    }
    reply = api.post("/api/v1/models", json=body)
    if reply.status_code != 201:
        raise SystemExit(f"the model was not taken: {reply.status_code} {reply.text[:500]}")
    deadline = time.monotonic() + 10
    while not all(_answers(api, name) for _ in range(8)):  # of every replica
        if time.monotonic() > deadline:
            raise SystemExit("the model does not answer")
        time.sleep(0.3)


def _answers(api: httpx.Client, name: str) -> bool:
    body = {"model": name, "messages": [{"role": "user", "content": "?"}], "max_tokens": 16}
    return api.post("/v1/chat/completions", json=body).status_code == 200


def make_key(api: httpx.Client) -> str:
    """An API key that may call models."""
    body = {"name": "bench", "permissions": ["models:use"]}
    reply = api.post("/api/v1/api-keys", json=body).raise_for_status()
    return str(reply.json()["key"])


def http_port(server: Server) -> int:
    """Where an installation listens."""
    return int(json.loads((server.home / "run" / "ports.json").read_text())["http"])


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: Sequence[str], port: int, path: str, environment: dict[str, str]) -> Iterator[int]:
    """A server until the end of the block; its pid. What it said is shown when it does not come up."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not _ready(process, f"http://127.0.0.1:{port}{path}"):
                log.seek(0)
                raise SystemExit(f"{command[:4]} did not come up:\n{log.read()[-3000:]}")
            yield process.pid
        finally:
            _end(process)


def _ready(process: "subprocess.Popen[Any]", url: str) -> bool:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False


def _end(process: "subprocess.Popen[Any]") -> None:
    left = [psutil.Process(pid) for pid in family(process.pid)] if process.poll() is None else []
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for other in left:  # workers that outlived it
        try:
            other.kill()
        except psutil.NoSuchProcess:
            continue
