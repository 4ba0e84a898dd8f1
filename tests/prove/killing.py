"""Point 3: kill -9 of every process in turn while uploads and questions run."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.prove.server import Server, wait_until

LIMIT_S = 15.0
ENGINES = ("postgres", "valkey")


@dataclass
class Load:
    """Uploads and questions from two threads; remembers everything that was acknowledged."""

    server: Server
    kb_id: str
    conversation_id: str
    documents: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    errors: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, each: Any) -> None:
        count = 0
        with self.server.api() as api:
            while not self.stopped.is_set():
                count += 1
                try:
                    each(api, count)
                except httpx.HTTPError:
                    self.errors += 1
                    time.sleep(0.3)

    def upload(self, api: httpx.Client, count: int) -> None:
        weekday = "一二三四五六日"[count % 7]
        text = f"# 公告 {count}\n\n编号 K{count:05d} 的公告：本店第 {count} 号活动在周{weekday}开始。\n"
        response = api.post(
            f"/api/v1/knowledge/bases/{self.kb_id}/documents",
            files={"file": (f"notice-{count}.md", text.encode(), "text/markdown")},
        )
        if response.status_code == 202:
            self.documents.append(response.json()["id"])
        else:
            self.errors += 1
        time.sleep(0.5)

    def ask(self, api: httpx.Client, count: int) -> None:
        content = f"第 {count} 号活动什么时候开始？"
        with api.stream(
            "POST", f"/api/v1/conversations/{self.conversation_id}/messages", json={"content": content, "stream": True}
        ) as response:
            if response.status_code != 200:
                self.errors += 1
                time.sleep(0.5)
                return
            for line in response.iter_lines():
                if line.startswith("event: message.created"):
                    self.questions.append(content)
                if self.stopped.is_set():
                    return


def prove(server: Server, kb_id: str, conversation_id: str) -> tuple[dict[str, float], Load]:
    """Seconds until a question worked again, by what was killed. The load has stopped when it returns."""
    load = Load(server, kb_id, conversation_id)
    threads = [threading.Thread(target=load.run, args=(each,)) for each in (load.upload, load.ask)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(5)
        return {name: _kill_and_wait(server, name, pid) for name, pid in victims(server)}, load
    finally:
        load.stopped.set()
        for thread in threads:
            thread.join()


def victims(server: Server) -> list[tuple[str, int]]:
    """Name and pid of the engines and of every replica, which the status lists below its deployment."""
    found, deployment = [], ""
    for row in server.status()["rows"]:
        deployment = row["name"] if row["kind"] == "deployment" else deployment
        if row["kind"] == "engine" and row["name"].lower() in ENGINES:
            found.append((row["name"], row["pid"]))
        if row["kind"] == "replica":
            found.append((f"{deployment} replica", row["pid"]))
    assert len(found) > len(ENGINES), f"too little in the status: {found}"
    return found


def _kill_and_wait(server: Server, name: str, pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    time.sleep(0.2)
    wait_until(lambda: _whole(server), 90)
    seconds = time.monotonic() - started
    time.sleep(3)
    return seconds


def _whole(server: Server) -> bool:
    """Everything works again: ready, a search by both engines, every replica of the status alive."""
    with server.api() as api:
        api.timeout = httpx.Timeout(10)
        ready = api.get("/ready").status_code == 200
        search = api.post("/api/v1/search", json={"query": "退款多久到账"})
        rows = server.status()["rows"]
        replicas = [row for row in rows if row["kind"] == "replica"]
        return (
            ready
            and search.status_code == 200
            and not search.json()["degraded"]
            and all(_alive(row["pid"]) and row["state"] == "running" for row in replicas)
            and all(row["state"] == "healthy" for row in rows if row["kind"] == "deployment")
        )


def _alive(pid: int | None) -> bool:
    return pid is not None and os.path.exists(f"/proc/{pid}")  # noqa: PTH110


def lost(server: Server, load: Load) -> list[str]:
    """Acknowledged uploads without a verdict, and questions that are not stored."""
    wait_until(
        lambda: (
            not server.sql(
                "SELECT 1 FROM document_versions WHERE status IN ('pending', 'processing') AND kb_id = $1", load.kb_id
            )
        ),
        60,
    )
    verdicts = {
        str(row["document_id"])
        for row in server.sql(
            "SELECT document_id FROM document_versions WHERE kb_id = $1 AND status IN ('indexed', 'failed')", load.kb_id
        )
    }
    stored = [
        row["content"]
        for row in server.sql(
            "SELECT content FROM messages WHERE conversation_id = $1 AND role = 'user'", load.conversation_id
        )
    ]
    return [f"upload {d}" for d in load.documents if d not in verdicts] + [
        f"question {q}" for q in load.questions if q not in stored
    ]
