"""`voicehelper index` against a server in memory."""

import hashlib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from voicehelper.cli import index
from voicehelper.cli.client import ApiError, ServerDown
from voicehelper.cli.indexing import FolderUpload, Result, list_files
from voicehelper.ids import new_id
from voicehelper.wire.common import ErrorBody
from voicehelper.wire.knowledge import DocumentStatusView


class FakeServer:
    """Keeps documents by name; a document is indexed at the second look, `bad*` fails, `*.exe` is refused."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[UUID, str]] = {}
        self.uploads: list[str] = []
        self.looks: dict[UUID, int] = {}
        self.down = 0

    def documents(self, kb_id: UUID, status: str | None = None) -> list[Any]:
        return [self._view(name) for name in self.stored]

    def upload(self, kb_id: UUID, name: str, file: Any, content_type: str = "") -> Any:
        if self.down:
            self.down -= 1
            raise ServerDown("away")
        if name.endswith(".exe"):
            raise ApiError(415, ErrorBody(code=41501, message="Unsupported type", trace_id=""))
        if name.startswith("locked"):
            raise ApiError(422, ErrorBody(code=42201, message="密", details={"reason": "encrypted"}, trace_id=""))
        if name.startswith("odd"):
            raise ApiError(400, ErrorBody(code=40001, message="Bad", details={"reason": "Bad name"}, trace_id=""))
        self.uploads.append(name)
        self.stored[name] = (new_id(), hashlib.sha256(file.read()).hexdigest())
        return self._view(name)

    def document_status(self, document_id: UUID) -> DocumentStatusView:
        self.looks[document_id] = self.looks.get(document_id, 0) + 1
        name = next(name for name, (id_, _) in self.stored.items() if id_ == document_id)
        if self.looks[document_id] < 2:
            return DocumentStatusView(id=document_id, status="processing")
        if name.startswith("bad"):
            return DocumentStatusView(id=document_id, status="failed", reason="corrupt", error="damaged")
        return DocumentStatusView(id=document_id, status="indexed")

    def _view(self, name: str) -> Any:
        id_, digest = self.stored[name]
        status = self.document_status(id_).status if id_ in self.looks else "pending"

        class View:
            pass

        view = View()
        view.__dict__.update(id=id_, name=name, sha256=digest, status=status)
        return view


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "sub").mkdir()
    for name in ("a.md", "sub/b.md", "bad.pdf", "c.exe", ".hidden"):
        (tmp_path / name).write_text(name)
    return tmp_path


def run(server: FakeServer, folder: Path) -> Result:
    shown: list[int] = []
    upload = FolderUpload(server, new_id(), lambda result: shown.append(result.ended))
    result = upload.run(folder, list_files(folder), 2, wait=True)
    assert shown == sorted(shown)
    assert shown[-1] == result.ended
    return result


def test_everything_is_sent_and_followed_to_its_end(folder: Path) -> None:
    server = FakeServer()
    server.down = 3
    result = run(server, folder)
    assert result.indexed == {"a.md", "sub/b.md"}
    assert result.failures == {"bad.pdf": ("corrupt", "damaged"), "c.exe": ("unsupported_type", "Unsupported type")}
    assert not result.unfinished


def test_again_only_what_is_new_or_failed_is_sent(folder: Path) -> None:
    server = FakeServer()
    run(server, folder)
    server.uploads.clear()
    (folder / "a.md").write_text("changed")
    result = run(server, folder)
    assert sorted(server.uploads) == ["a.md", "bad.pdf"]
    assert (result.unchanged, result.indexed) == ({"sub/b.md"}, {"a.md"})


def test_a_file_that_cannot_be_read_fails_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*list_files(folder), "gone.md"]
    result = FolderUpload(FakeServer(), new_id(), lambda result: None).run(folder, names, 2, wait=True)
    assert result.failures["gone.md"] == ("unreadable", "No such file or directory")
    assert result.indexed == {"a.md", "sub/b.md"}


def test_a_refusal_keeps_its_reason(folder: Path) -> None:
    for name in ("locked.pdf", "odd.md"):
        (folder / name).write_text(name)
    result = run(FakeServer(), folder)
    assert result.failures["locked.pdf"] == ("encrypted", "密")
    assert result.failures["odd.md"] == ("refused", "Bad")


def test_the_report_tells_what_became_of_each_file(folder: Path) -> None:
    report = index._content(run(FakeServer(), folder), "kb", 1.23456)
    assert report == {
        "kb": "kb",
        "documents": {"total": 4, "indexed": 2, "unchanged": 0, "failed": 2, "unfinished": 0},
        "seconds": 1.235,
        "failures": [
            {"name": "bad.pdf", "reason": "corrupt", "error": "damaged"},
            {"name": "c.exe", "reason": "unsupported_type", "error": "Unsupported type"},
        ],
        "unfinished": [],
    }
