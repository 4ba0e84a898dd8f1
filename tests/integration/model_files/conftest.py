"""A hub and a package index on this machine, with tiny models: the download code is the real one."""

import hashlib
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from voicehelper.embedded.models import Manifest


@dataclass
class Served:
    """What the server holds, how it misbehaves, and what was asked of it."""

    hub_files: dict[str, bytes] = field(default_factory=dict)
    wheels: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    bytes_per_s: float = 0
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def gets(self, part: str) -> list[str]:
        """The GET requests whose path contains `part`."""
        return [line for line in self.requests if line.startswith("GET") and part in line]


def handler_for(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            served.requests.append(f"HEAD {self.path}")
            self._answer(body=False)

        def do_GET(self) -> None:
            served.requests.append(f"GET {self.path}")
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            if match := re.fullmatch(r"/simple/([^/]+)/", self.path):
                return self._index(match[1])
            if self.path.startswith("/files/"):
                return self._send(served.wheels.get(self.path.removeprefix("/files/")), body)
            self._send(served.hub_files.get(self.path), body)

        def _index(self, project: str) -> None:
            names = [name for name in served.wheels if name.split("-")[0].replace("_", "-") == project]
            page = "".join(f'<a href="/files/{name}">{name}</a>' for name in names).encode()
            self._send(page if names else None, True, "text/html")

        def _send(self, content: bytes | None, body: bool, kind: str = "application/octet-stream") -> None:
            if content is None:
                return self.send_error(404)
            start = self._start()
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content) - start))
            if self.path in served.etags:
                self.send_header("X-Linked-Etag", f'"{served.etags[self.path]}"')
            self.end_headers()
            if body:
                self._write(content[start:])

        def _start(self) -> int:
            asked = self.headers.get("Range", "")
            if asked:
                served.ranges.append(asked)
            return int(asked.removeprefix("bytes=").rstrip("-") or 0) if asked else 0

        def _write(self, content: bytes) -> None:
            is_file = self.path in served.hub_files
            limit = served.cut_after.pop(0) if is_file and served.cut_after else len(content)
            for at in range(0, min(limit, len(content)), 16384):
                self.wfile.write(content[at : min(at + 16384, limit)])
                if is_file and served.bytes_per_s:
                    time.sleep(16384 / served.bytes_per_s)
            if limit < len(content):
                self.close_connection = True
                self.connection.close()

    return Handler


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    state = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(state))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_INDEX_URL": f"{state.url}/simple",
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    yield state
    server.shutdown()
    server.server_close()


def content(size: int, seed: str = "model") -> bytes:
    """Bytes that repeat nowhere and do not compress."""
    blocks = (hashlib.sha256(f"{seed}{index}".encode()).digest() for index in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def wheel(project: str, part: bytes, member: str) -> tuple[str, bytes]:
    """A wheel that carries `part`, and whose code would fail if anything imported it."""
    module = project.replace("-", "_")
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"{module}/{member}", part)
        archive.writestr(f"{module}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
        archive.writestr(f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{module}-1.0.dist-info/RECORD", "")
    return f"{module}-1.0-py3-none-any.whl", buffer.getvalue()


HUB_PATH = "/owner/tiny/resolve/main/tiny.gguf"


@dataclass
class World:
    """One model `tiny` of 1 MB, on the hub and in three wheels."""

    served: Served
    data: bytes
    manifest: Manifest
    root: Path

    def put_on_hub(self, data: bytes | None = None) -> None:
        self.served.hub_files |= {"/": b"hub", HUB_PATH: self.data if data is None else data}

    def put_in_packages(self, data: bytes | None = None, only: tuple[int, ...] = (1, 2, 3)) -> None:
        whole = self.data if data is None else data
        for number in only:
            part = whole[(number - 1) * 400_000 : number * 400_000]
            self.served.wheels |= dict([wheel(f"tiny-part{number}", part, f"data/part0{number}.bin")])

    def files(self) -> list[str]:
        """Everything in the store but locks and links."""
        folders = [self.root / "blobs", self.root / "downloads", self.root / "derived"]
        return sorted(path.name for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def world(served: Served, tmp_path: Path) -> World:
    data = content(1_000_000)
    manifest = Manifest.model_validate({"models": [tiny_entry(data)]})
    return World(served, data, manifest, tmp_path / "cache")


def tiny_entry(data: bytes, name: str = "tiny") -> dict[str, object]:
    packages = {"kind": "packages", "name": "tiny-part{n}", "count": 3, "version": "1.0", "member": "*/data/part*"}
    return {
        "name": name,
        "role": "chat",
        "upstream": "owner/tiny",
        "licence": "MIT",
        "file": "tiny.gguf",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "sources": [
            {"kind": "hub", "repo": "owner/tiny", "file": "tiny.gguf"},
            packages | {"part_size": 400_000},
        ],
    }
