"""A whole instance for the proof: supervisor, engines, Ray, three gateway replicas, and a scripted language model."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import httpx
import psutil

from tests.prove.server import Server, wait_until
from voicehelper.embedded.instance import MARK, Ports
from voicehelper.embedded.ports import random_port

EMAIL = "admin@voicehelper.local"
PASSWORD = "Zhun1-Bei2-Hao3"
REPLICAS = 3
SENTENCE = "退款申请通过后，款项会在三到五个工作日内退回原支付账户。"
REFUNDS = f"{SENTENCE}\n"
QUESTION = "退款申请通过后，款项会在三到五个工作日内退回原支付账户吗？"
"""Near enough to the only passage for the fake embedder, which knows nothing but characters."""
REPLICA = "ray::ServeReplica:voicehelper:"


@dataclass
class Cluster(Server):
    """`voicehelper supervise` in a temporary home; models are stand-ins, everything else is the product's own."""

    model_url: str = ""
    passage: str = REFUNDS

    def __post_init__(self) -> None:
        super().__post_init__()
        inline = {f"VOICEHELPER_TOPOLOGY__{node}": "inline" for node in ("RAG", "RETRIEVAL", "EMBEDDER", "CHAT")}
        plenty = dict.fromkeys(("login_per_address", "per_address", "per_user", "per_key", "per_tenant"), 10**7)
        plenty |= dict.fromkeys(
            ("answers_per_user", "answers_per_tenant", "uploads_per_tenant", "model_calls_per_tenant"), 10**7
        )
        chat = {"backend": "openai", "base_url": self.model_url, "model": "scripted", "parallel": 64, "queue": 1024}
        self.environment |= inline | {
            "VOICEHELPER_NODES": json.dumps({"gateway": {"num_replicas": REPLICAS}}),
            "VOICEHELPER_CHAT": json.dumps(chat),
            "VOICEHELPER_EMBEDDER": json.dumps({"backend": "fake"}),
            "VOICEHELPER_LIMITS": json.dumps(plenty),
            "VOICEHELPER_IDENTITY__ADMIN_EMAIL": EMAIL,
            "VOICEHELPER_IDENTITY__ADMIN_PASSWORD": PASSWORD,
            "VOICEHELPER_TELEMETRY__LOG_LEVEL": "WARNING",
            "RAY_DEDUP_LOGS": "0",
        }
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        ports = json.loads((self.home / "run" / "ports.json").read_text())
        return f"http://127.0.0.1:{ports['http']}"

    def start(self) -> float:
        """Seconds until it is ready with all its replicas."""
        self.launch()
        return wait_until(lambda: self.ready() and len(self.replicas()) == REPLICAS, 180)

    def launch(self) -> None:
        """Start the supervisor."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o755)
        (self.home / "run").mkdir(mode=0o700, exist_ok=True)
        ports = {name.name: random_port() for name in fields(Ports)}  # nobody else's, whatever starts beside us
        (self.home / "run" / "ports.json").write_text(json.dumps(ports))
        self._supervisor = self.spawn([self.executable("voicehelper"), "supervise"])

    def stop(self) -> None:
        """End the instance, and whatever is left of it."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGTERM)
            try:
                self._supervisor.wait(60)  # our own child: nobody else can wait for its end
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
        self.cli("down", timeout=120)

    def ready(self) -> bool:
        return httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).status_code == 200

    def login(self, email: str = EMAIL, password: str = PASSWORD) -> dict[str, Any]:
        """The tokens. Raises `httpx.HTTPStatusError`."""
        body = {"email": email, "password": password}
        reply = httpx.post(f"{self.url}/api/v1/auth/login", json=body, timeout=30, trust_env=False)
        reply.raise_for_status()
        tokens: dict[str, Any] = reply.json()
        return tokens

    def api(self) -> httpx.Client:
        """A client logged in as the administrator."""
        headers = {"Authorization": f"Bearer {self.login()['access_token']}"}
        return httpx.Client(base_url=self.url, timeout=60, headers=headers, trust_env=False)

    def replicas(self, node: str = "gateway") -> list[int]:
        """Process ids of a node's replicas."""
        title, found = REPLICA + node, []
        for process in psutil.process_iter():
            try:
                if process.name().startswith(title[:15]) and "".join(process.cmdline()).startswith(title):
                    found += [process.pid] if process.environ().get(MARK) == str(self.home.absolute()) else []
            except (psutil.Error, OSError):
                continue
        return found

    def engines(self) -> dict[str, int]:
        """Process ids of PostgreSQL and Valkey."""
        status = json.loads((self.home / "run" / "status.json").read_text())
        return {c["name"]: c["pid"] for c in status["components"] if c["name"] in {"postgres", "valkey"}}

    @contextmanager
    def without(self, *names: str) -> Any:
        """These engines are killed, and stay away for the length of the block: their supervisor is held."""
        assert self._supervisor is not None
        pids = self.engines()
        self._supervisor.send_signal(signal.SIGSTOP)
        try:
            for name in names:
                _kill_family(pids[name])
            yield
        finally:
            self._supervisor.send_signal(signal.SIGCONT)

    def base(self, name: str) -> str:
        """A knowledge base with one indexed document."""
        with self.api() as api:
            kb = _made(lambda: api.post("/api/v1/knowledge/bases", json={"name": name}))
            files = {"file": ("退款说明.md", self.passage.encode(), "text/markdown")}
            document = _made(lambda: api.post(f"/api/v1/knowledge/bases/{kb}/documents", files=files))
            path = f"/api/v1/knowledge/documents/{document}/status"
            wait_until(lambda: api.get(path).json()["status"] == "indexed", 60)
        return kb


def _made(send: Callable[[], httpx.Response], patience_s: float = 20.0) -> str:
    """The id of what was created; 503 is taken at its word, for a replica that has only just started."""
    deadline = time.monotonic() + patience_s
    while (reply := send()).status_code == 503 and time.monotonic() < deadline:
        time.sleep(float(reply.headers["retry-after"]))
    assert reply.status_code in {201, 202}, f"{reply.status_code} {reply.text[:300]}"
    return str(reply.json()["id"])


def _kill_family(pid: int) -> None:
    """kill -9 of a server and the processes it made."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
