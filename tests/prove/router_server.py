"""An instance for the proof of the router: two gateway replicas, upstreams in processes of their own."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from prometheus_client.mmap_dict import MmapedDict

from tests.prove.server import ROOT, wait_until
from tests.prove.tenancy_server import Cluster
from voicehelper.embedded.ports import random_port

REPLICAS = 2
FAST = {"breaker_open_s": 4, "probe_s": 2, "probe_failures": 3, "out_s": 8, "reservation_s": 15}
"""Settings that would make a proof wait: half a minute, a minute, five minutes, ten minutes by default."""
PRICES = {"gold": (10_000_000, 40_000_000), "silver": (1_000_000, 4_000_000), "bronze": (100_000, 400_000)}
"""Micro-dollars for a million tokens of the prompt, and of the completion."""
GRADES = {"gold": (5, 2), "silver": (4, 3), "bronze": (3, 4)}
"""Quality and speed."""
FALLBACKS = {"gold": ["silver", "bronze"], "silver": ["bronze"], "bronze": ["silver"]}


@dataclass
class RouterCluster(Cluster):
    """Light: the instance's own model is an upstream too, and nothing is spoken. Whole: its own models, for real."""

    whole: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment |= {
            "VOICEHELPER_NODES": json.dumps({"gateway": {"num_replicas": REPLICAS}}),
            "VOICEHELPER_MODELS": json.dumps(FAST),
            "VOICEHELPER_STT": json.dumps({"backend": "off"}),
            "VOICEHELPER_TTS": json.dumps({"backend": "off"}),
            "VOICEHELPER_TOPOLOGY__STT": "inline",
            "VOICEHELPER_TOPOLOGY__TTS": "inline",
        }
        if self.whole:
            self.environment |= {
                "VOICEHELPER_CHAT": json.dumps({"backend": "llama_cpp"}),
                "VOICEHELPER_EMBEDDER": json.dumps({"backend": "ctranslate2"}),
                "VOICEHELPER_TOPOLOGY__CHAT": "deployment",
                "VOICEHELPER_TOPOLOGY__EMBEDDER": "deployment",
            }

    def start(self) -> float:
        """Seconds until it is ready with all its replicas, and its models are fetched."""
        if self.whole:
            self.cli("models", "pull", timeout=600)
        self.launch()
        return wait_until(lambda: self.ready() and len(self.replicas()) == REPLICAS, 240)

    def kill_replicas(self) -> float:
        """kill -9 of every gateway replica; seconds until as many new ones answer."""
        before = set(self.replicas())
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        def renewed() -> bool:
            now = set(self.replicas())
            return len(now) == REPLICAS and not now & before and self.ready()

        return wait_until(renewed, 90)

    def served(self) -> dict[int, float]:
        """Requests that each gateway replica of now has answered, by its process id: from its own file of metrics."""
        return {pid: _requests(self.home / "run" / "metrics" / f"counter_{pid}.db") for pid in self.replicas()}

    def took_part(self, before: dict[int, float]) -> list[int]:
        """How many requests each replica has answered since."""
        return [int(count - before.get(pid, 0)) for pid, count in self.served().items()]


def _requests(path: Any) -> float:
    if not path.exists():
        return 0.0
    values = MmapedDict.read_all_values_from_file(str(path))
    return sum(value for key, value, *_ in values if json.loads(key)[0] == "voicehelper_requests")


@dataclass
class UpstreamProcess:
    """One of tests.prove.router_upstream."""

    name: str
    port: int = field(default_factory=random_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-m", "tests.prove.router_upstream", self.name, str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.count() is not None, 20, 0.05)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def be(self, mode: str, delay: float = 0.0) -> None:
        """How it behaves from now on; started if it was dead."""
        if self.process is None:
            self.start()
        _post(f"{self.url}/control", {"mode": mode, "delay": delay})

    def count(self) -> dict[str, int]:
        """Completions asked and answered."""
        found: dict[str, int] = _post(f"{self.url}/count", {})
        return found


def _post(url: str, body: Any) -> Any:
    return httpx.post(url, json=body, timeout=5, trust_env=False).raise_for_status().json()


@dataclass
class Answer:
    """What a client got of one completion. `error` is OpenAI's object; status 0: the connection broke."""

    status: int
    text: str = ""
    finish: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it was answered to its end."""
        return self.status == 200 and bool(self.finish) and not self.error

    @property
    def model(self) -> str:
        """Which answered."""
        return str(self.facts.get("model", ""))

    @property
    def tried(self) -> list[tuple[str, str]]:
        """Model and outcome of every attempt; the reason where it was skipped."""
        attempts = self.facts.get("attempts", ())
        return [(one["model"], one["reason"] or one["outcome"]) for one in attempts]

    @property
    def warnings(self) -> list[str]:
        """Stable words."""
        return list(self.facts.get("warnings", ()))


@dataclass
class World:
    """The instance, its upstreams by name, and a client with a key of its own."""

    server: RouterCluster
    upstreams: dict[str, UpstreamProcess]

    @cached_property
    def api(self) -> httpx.Client:
        """The administrator."""
        return self.server.api()

    @cached_property
    def key(self) -> str:
        """A key without limits."""
        return self.make_key("prove")[1]

    def make_key(self, name: str, *permissions: str) -> tuple[str, str]:
        """Id and key; without permissions it may call models."""
        body = {"name": name, "permissions": [*(permissions or ["models:use"])]}
        made = self.api.post("/api/v1/api-keys", json=body).raise_for_status().json()
        return made["id"], made["key"]

    def __getitem__(self, name: str) -> UpstreamProcess:
        return self.upstreams[name]

    def add_models(self) -> None:
        """One entry for each upstream with a price; returns when every replica knows them."""
        for name in PRICES:
            self.add_model(name, name)
        wait_until(lambda: all(self.ask(name).ok for name in PRICES for _ in range(6)), 20)

    def add_model(self, name: str, upstream: str, **changes: Any) -> dict[str, Any]:
        """An entry of the platform."""
        prompt, completion = PRICES[upstream]
        quality, speed = GRADES[upstream]
        body = {
            "name": name,
            "owner": "platform",
            "provider": "openai_compatible",
            "remote": upstream,
            "base_url": self[upstream].url,
            "capabilities": ["stream", "tools", "json_schema", "json_object", "vision", "continue"],
            "context_tokens": 8192,
            "price": {"prompt": prompt, "completion": completion},
            "quality": quality,
            "speed": speed,
            "fallbacks": FALLBACKS[upstream] if name in PRICES else [],
        }
        reply = self.api.post("/api/v1/models", json=body | changes)
        assert reply.status_code == 201, f"{reply.status_code} {reply.text[:300]}"
        made: dict[str, Any] = reply.json()
        return made

    def ask(self, model: str, *, key: str = "", stream: bool = False, image: bool = False, **body: Any) -> Answer:
        """One completion on a connection of its own, as a client of OpenAI's API makes it."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        content: Any = [{"type": "text", "text": "Who?"}, _PICTURE] if image else "Who are you?"
        given = {"model": model, "stream": stream, "max_tokens": 64, **body}
        given.setdefault("messages", [{"role": "user", "content": content}])
        started = time.monotonic()
        try:
            answer = _asked(f"{self.server.url}/v1/chat/completions", headers, given)
        except httpx.HTTPError as error:
            answer = Answer(0, error={"message": repr(error)})
        answer.seconds = time.monotonic() - started
        return answer

    def ask_all(self, model: str, times: int, **how: Any) -> list[Answer]:
        """One after the other; new connections, so that both replicas get some."""
        return [self.ask(model, **how) for _ in range(times)]

    def heal(self, *names: str, seconds: float = 40.0) -> None:
        """All upstreams behave, and every named model answers for itself on every replica."""
        for upstream in self.upstreams.values():
            upstream.be("ok")
        for name in names or PRICES:
            wait_until(lambda name=name: all(a.model == name for a in self.ask_all(name, 6)), seconds)  # type: ignore[misc]


_TLS = ssl.create_default_context()  # made once: nothing here uses it, and making it takes longer than a request
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}


def _asked(url: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
    with httpx.Client(timeout=90, trust_env=False, headers=headers, verify=_TLS) as client:
        if not body["stream"]:
            return _read(client.post(url, json=body))
        with client.stream("POST", url, json=body) as reply:
            if reply.status_code != 200:
                reply.read()
                return _read(reply)
            return _read_stream(reply)


def _read(reply: httpx.Response) -> Answer:
    try:
        body = reply.json()
    except ValueError:  # of Serve's proxy, in its own words
        return Answer(reply.status_code, error={"message": reply.text[:200], "code": "not JSON"})
    if reply.status_code != 200:
        return Answer(reply.status_code, error=body.get("error") or body)
    choice = body["choices"][0]
    text = choice["message"]["content"] or ""
    return Answer(200, text, choice["finish_reason"] or "", body.get("voicehelper", {}))


def _read_stream(reply: httpx.Response) -> Answer:
    """An answer without its `[DONE]` is one that broke."""
    answer, done = Answer(200), False
    for line in reply.iter_lines():
        if not line.startswith("data: "):
            continue
        if done := line == "data: [DONE]":
            break
        _take(answer, json.loads(line[6:]))
    if not done and not answer.error:
        answer.error = {"message": "no [DONE]"}
    return answer


def _take(answer: Answer, event: dict[str, Any]) -> None:
    answer.error = event.get("error") or answer.error
    answer.facts = event.get("voicehelper") or answer.facts
    for choice in event.get("choices", ()):
        answer.text += choice["delta"].get("content") or ""
        answer.finish = choice["finish_reason"] or answer.finish


@contextmanager
def running_world(server: RouterCluster) -> Iterator[World]:
    """The upstreams run, the instance does not yet; everything is ended with the block."""
    upstreams = {name: UpstreamProcess(name) for name in (*PRICES, "local")}
    if not server.whole:
        chat = json.loads(server.environment["VOICEHELPER_CHAT"])
        server.environment["VOICEHELPER_CHAT"] = json.dumps(chat | {"base_url": upstreams["local"].url})
    try:
        for upstream in upstreams.values():
            upstream.start()
        yield World(server, upstreams)
    finally:
        for upstream in upstreams.values():
            upstream.kill()
        server.stop()
