"""What is certainly broken is refused at once: the real inspector, in child processes, behind the real gateway."""

import asyncio
import dataclasses
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.fakes.broken_files import broken_files, make_docx, make_pdf
from tests.prove import bad_input
from voicehelper.cli.client import ApiClient
from voicehelper.cli.indexing import FolderUpload, Result, list_files
from voicehelper.documents.inspection import IsolatedInspector, inspection_limits
from voicehelper.documents.isolation import IsolatedParser, ParserProcess
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.gateway import create_app
from voicehelper.identity.admin import AdminCredentials
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.ports.objects import FakeObjectStore
from voicehelper.stores.files import FileObjectStore
from voicehelper.stores.postgres.index_queue import PostgresObjectTrash
from voicehelper.stores.postgres.knowledge import PostgresKnowledge

LIMIT = 20 * 2**20
LATER = {FailureReason.NO_TEXT, FailureReason.TOO_LARGE}
"""Only the indexer can tell."""
ONLY_PARSED = {"front-matter-only.md", "script-only.html", "empty.docx"}
"""Empty, but only their parsers see it."""


class Inspected:
    """A gateway whose uploads are inspected, with one knowledge base, over either kind of object store."""

    def __init__(self, harness: Any, objects: Any, parser: IsolatedParser) -> None:
        knowledge = KnowledgeService(
            PostgresKnowledge(harness.pool),
            PostgresObjectTrash(harness.pool),
            objects,
            LIMIT,
            IsolatedInspector(parser, patience_s=60.0),
        )
        http = harness.services.http.model_copy(update={"max_upload_bytes": LIMIT, "max_body_bytes": 2**20})
        self.harness = harness
        self.app = create_app(dataclasses.replace(harness.services, knowledge=knowledge, http=http))
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://test", headers=harness.http.headers
        )
        self.kb_id = ""

    async def upload(self, name: str, data: bytes, language: str = "en") -> httpx.Response:
        if not self.kb_id:
            self.kb_id = str(await self.harness.base("inspected"))
        path = f"/api/v1/knowledge/bases/{self.kb_id}/documents"
        files = {"file": (name, data, "application/octet-stream")}
        return await self.http.post(path, files=files, headers={"Accept-Language": language})


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def parser() -> AsyncIterator[IsolatedParser]:
    async with IsolatedParser(dataclasses.replace(inspection_limits(ParseLimits()), timeout_s=20.0), 2) as parser:
        yield parser


@pytest.fixture
async def inspected(harness: Any, parser: IsolatedParser, tmp_path: Path) -> AsyncIterator[Inspected]:
    made = Inspected(harness, FileObjectStore(tmp_path), parser)
    yield made
    await made.http.aclose()


async def test_every_broken_file_is_refused_with_its_reason_or_left_to_the_indexer(
    inspected: Inspected, tmp_path: Path
) -> None:
    waiting = []
    for name, (data, reason) in broken_files().items():
        response = await inspected.upload(name, data)
        if reason in LATER or name in ONLY_PARSED:
            assert response.status_code == 202, (name, response.text)
            waiting.append(name)
            continue
        body = response.json()
        assert body["details"]["reason"] == reason, (name, body)
        assert bad_input.is_our_error(response)
        expected = {"empty.txt": 40004, "program.exe": 41501, "sheet.xlsx": 41501}.get(name, 42201)
        assert body["code"] == expected, (name, body)
    assert len(stored(tmp_path)) == len(waiting)
    assert await inspected.harness.pool.fetchval("SELECT count(*) FROM object_deletions") == 0
    assert await inspected.harness.pool.fetchval("SELECT count(*) FROM documents") == len(waiting)


ACCEPTED = {
    "gb18030.txt": "退款一般三个工作日到账，请耐心等待。".encode("gb18030"),
    "big5.txt": "退款一般三個工作日內入帳，請您耐心等待，謝謝。".encode("big5"),
    "utf16.txt": "退款一般三个工作日到账。".encode("utf-16"),
    "utf16be.md": "退款一般三个工作日到账，请耐心等待。".encode("utf-16-be"),
    "script.html": "<html><script>document.write('坏')</script><h1>退款</h1><p>三个工作日到账。</p>".encode(),
    "gbk.html": '<meta charset="gbk"><p>退款一般三个工作日到账。</p>'.encode("gbk"),
    "short.txt": "是".encode(),
}


async def test_odd_but_readable_files_are_accepted(inspected: Inspected) -> None:
    files = {**ACCEPTED, "a.pdf": make_pdf("退款", ["三个工作日到账。"]), "a.docx": make_docx(["三个工作日到账。"])}
    for name, data in files.items():
        response = await inspected.upload(name, data)
        assert response.status_code == 202, (name, response.text)


async def test_the_refusal_is_told_in_the_callers_language(inspected: Inspected) -> None:
    data, _ = broken_files()["locked.pdf"]
    assert (await inspected.upload("a.pdf", data, "zh-CN")).json()["message"] == "文件有密码保护"
    assert (await inspected.upload("a.pdf", data, "en")).json()["message"] == "The file is protected by a password"


async def test_the_same_content_again_changes_nothing(inspected: Inspected, tmp_path: Path) -> None:
    first, second = [await inspected.upload("a.txt", "是的".encode()) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert len(stored(tmp_path)) == 1


async def test_a_refused_version_leaves_the_old_one(inspected: Inspected) -> None:
    added = (await inspected.upload("a.pdf", make_pdf("退款", ["三个工作日到账。"]))).json()
    assert (await inspected.upload("a.pdf", b"%PDF-1.7 broken")).status_code == 422
    document = (await inspected.http.get(f"/api/v1/knowledge/documents/{added['id']}")).json()
    assert (document["sha256"], document["status"]) == (added["sha256"], "pending")


async def test_a_store_that_is_no_folder_is_inspected_too(harness: Any, parser: IsolatedParser) -> None:
    objects = FakeObjectStore()
    inspected = Inspected(harness, objects, parser)
    large = b"%PDF-1.7\n" + b"garbage " * (3 * 2**20 // 8)
    assert (await inspected.upload("large.pdf", large)).json()["details"]["reason"] == "corrupt"
    assert (await inspected.upload("small.pdf", large[:999])).json()["details"]["reason"] == "corrupt"
    assert objects.blobs == {}
    assert (await inspected.upload("large.txt", "退款三天到账。".encode() * 2**17)).status_code == 202
    assert len(objects.blobs) == 1


async def test_twenty_uploads_at_once(inspected: Inspected) -> None:
    await inspected.upload("warm.txt", b"warm")
    good, bad = make_pdf("退款", ["三个工作日到账。"]), b"%PDF-1.7 broken"
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    uploads = [inspected.upload(f"{number}.pdf", bad if number % 2 else good + bytes(number)) for number in range(20)]
    responses = await asyncio.gather(*uploads)
    ticking.cancel()
    assert [response.status_code for response in responses] == [202, 422] * 10
    assert ticks > 5, "the event loop stood still"


async def test_a_client_that_leaves_while_its_file_is_inspected(
    inspected: Inspected, parser: IsolatedParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, inspect = asyncio.Event(), ParserProcess.inspect

    def watched(process: ParserProcess, data: Any, name: str, content_type: str = "") -> None:
        loop.call_soon_threadsafe(begun.set)
        if name == "slow.txt":
            time.sleep(0.2)
        inspect(process, data, name, content_type)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(ParserProcess, "inspect", watched)
    upload = asyncio.create_task(inspected.upload("slow.txt", "退款三天到账。".encode()))
    await asyncio.wait_for(begun.wait(), 30)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await inspected.harness.pool.fetchval("SELECT count(*) FROM documents") == 0
    assert await inspected.harness.pool.fetchval("SELECT count(*) FROM object_deletions") == 1, "swept later"
    assert (await inspected.upload("next.txt", "是的".encode())).status_code == 202
    assert (await inspected.upload("next.pdf", b"%PDF-1.7 broken")).status_code == 422


@pytest.fixture
async def base_url(inspected: Inspected) -> AsyncIterator[str]:
    """The application on a real socket, as a client sees it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(inspected.app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


async def test_the_cases_of_the_proof(inspected: Inspected, base_url: str) -> None:
    kb_id, conversation_id = await inspected.harness.base("bad input"), await inspected.harness.conversation()

    def prove() -> tuple[int, list[str]]:
        with httpx.Client(base_url=base_url, headers=inspected.http.headers, timeout=60) as api:
            return bad_input.run(api, str(kb_id), str(conversation_id))

    started = time.monotonic()
    count, wrong = await asyncio.to_thread(prove)
    assert wrong == []
    assert count > 25
    assert (await inspected.http.get("/health")).status_code == 200
    assert time.monotonic() - started < 120


async def test_a_folder_from_the_command_line(inspected: Inspected, base_url: str, tmp_path: Path) -> None:
    """`voicehelper index` counts what the server refuses as failed, with the server's reason."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, (data, _) in broken_files().items():
        (folder / name).write_bytes(data)
    kb_id = await inspected.harness.base("folder")
    account = AdminCredentials("admin@example.com", "correct horse 电池")

    def index() -> Result:
        with ApiClient(base_url, account, tmp_path / "token.json") as client:
            return FolderUpload(client, kb_id, lambda result: None).run(folder, list_files(folder), 4, wait=False)

    result = await asyncio.to_thread(index)
    expected = {name: reason for name, (_, reason) in broken_files().items()}
    left = {name for name, reason in expected.items() if reason in LATER or name in ONLY_PARSED}
    assert result.unfinished == left
    reasons = {name: reason for name, (reason, _) in result.failures.items()}
    assert reasons == {name: reason for name, reason in expected.items() if name not in left}
