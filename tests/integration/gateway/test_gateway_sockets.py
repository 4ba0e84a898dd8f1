"""Over real sockets: the client and `voicehelper ask` against uvicorn; giant bodies; readers who leave."""

import asyncio
import io
import json
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import pytest
import uvicorn
from typer.testing import CliRunner

from voicehelper.cli.ask import register
from voicehelper.cli.client import ApiClient, ApiError, ClientError, ServerDown
from voicehelper.errors import Overloaded
from voicehelper.identity import AdminCredentials
from voicehelper.ids import new_id
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus, Citation

R = TypeVar("R")
ADMIN = AdminCredentials("admin@example.com", "correct horse 电池")
CITATION = Citation(1, 0, 2, new_id(), new_id(), "退款.md", 2, ("售后", "退款"), "款项\n3天内到账。", 0.8)
EVENTS = (
    AnswerStatus("searching"),
    AnswerDelta("3天"),
    AnswerDelta("内。"),
    AnswerCitations((CITATION,)),
    AnswerDone("answered", model="fake", degraded=("dense",), timings_ms={"total": 3.0}),
)


@pytest.fixture
async def url(harness: Any) -> AsyncIterator[str]:
    """The gateway on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(harness.app, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


async def apart(work: Callable[[], R]) -> R:
    return await asyncio.to_thread(work)


async def test_the_client_does_everything(url: str, harness: Any, tmp_path: Path) -> None:
    harness.answerer.events = EVENTS
    token_file = tmp_path / "keys" / "token.json"

    def work() -> None:
        with ApiClient(url, ADMIN, token_file) as client:
            assert client.ready().status == "ready"
            assert client.me().email == ADMIN.email
            base = client.ensure_base("政策")
            assert client.ensure_base("政策") == base
            document = client.upload(base.id, "售后/退款.md", io.BytesIO("# 退款".encode()))
            assert document.name == "售后/退款.md"
            assert client.document_status(document.id).status == "pending"
            assert [found.id for found in client.documents(base.id)] == [document.id]
            assert list(client.documents(base.id, "failed")) == []
            assert client.search("退款", ["政策"]).passages[0].score == 0.9
            conversation = client.create_conversation(["政策"])
            assert client.ask(conversation.id, "多久？").answer.content == "3天内。"
            names = [event.name for event in client.stream(conversation.id, "多久？")]
            assert names[0] == "message.created"
            assert names[-1] == "message.completed"
            assert [found.id for found in client.conversations()] == [conversation.id]
            assert len(client.messages(conversation.id)) == 4
            client.delete_document(document.id)
            client.delete_base(base.id)
            assert client.bases() == []
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600

    await apart(work)


async def test_the_token_is_remembered_and_renewed(url: str, tmp_path: Path) -> None:
    token_file = tmp_path / "token.json"

    def work() -> None:
        with ApiClient(url, ADMIN, token_file) as client:
            client.me()
        token = json.loads(token_file.read_text())["token"]
        with ApiClient(url, AdminCredentials(ADMIN.email, "forgotten"), token_file) as client:
            assert client.me().email == ADMIN.email  # no login was needed
            client._token = "expired"
            with pytest.raises(ApiError, match="40102"):
                client.me()
        for spoiled in (json.dumps({"url": "http://elsewhere", "email": ADMIN.email, "token": token}), "{", "[]"):
            token_file.write_text(spoiled)
            with ApiClient(url, ADMIN, token_file) as client:
                assert client.me().email == ADMIN.email
        with ApiClient(url, ADMIN, token_file) as client:
            client._token = "expired"
            base = client.ensure_base("x")
            client._token = "expired"
            assert client.upload(base.id, "a.md", io.BytesIO(b"text")).size_bytes == 4

    await apart(work)


async def test_errors_are_told_plainly(url: str, tmp_path: Path) -> None:
    def work() -> None:
        with ApiClient(url, ADMIN) as client, pytest.raises(ApiError, match="40401") as error:
            client.document_status(new_id())
        assert error.value.status == 404
        with ApiClient(url, None) as client, pytest.raises(ClientError, match="voicehelper up"):
            client.me()
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with ApiClient(f"http://127.0.0.1:{port}") as client, pytest.raises(ServerDown, match="voicehelper up"):
            client.ready()

    await apart(work)


async def test_a_reader_who_leaves_stops_the_model(url: str, harness: Any) -> None:
    harness.answerer.events, harness.answerer.delay = (AnswerDelta("好"),) * 1000, 0.05

    def work() -> Any:
        with ApiClient(url, ADMIN) as client:
            conversation = client.create_conversation()
            stream = client.stream(conversation.id, "讲很久")
            while next(stream).name != "delta":
                pass
            stream.close()
            return conversation.id

    conversation = await apart(work)
    async with asyncio.timeout(1):
        while not harness.answerer.stopped:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        status = ""
        while status != "stopped":
            messages = await harness.http.get(f"/api/v1/conversations/{conversation}/messages")
            status = messages.json()["items"][1]["status"]


async def test_a_giant_body_is_answered_while_it_is_sent(url: str, harness: Any) -> None:
    kb = await harness.base()

    class Giant(io.RawIOBase):
        """300 MB of nothing."""

        left = 300 * 2**20

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            return self.left if whence == 2 else 0

        def tell(self) -> int:
            return 0

        def read(self, size: int = -1) -> bytes:
            size = min(self.left, max(size, 2**16))
            self.left -= size
            return b"\0" * size

    def work() -> None:
        with ApiClient(url, ADMIN) as client, pytest.raises(ApiError, match="41301"):
            client.upload(kb, "giant.pdf", cast(BinaryIO, Giant()))

    await apart(work)
    assert harness.objects.blobs == {}


def run_ask(url: str, *arguments: str) -> Any:
    import typer

    app = typer.Typer()
    register(app)
    environment = {"VOICEHELPER_EMAIL": ADMIN.email, "VOICEHELPER_PASSWORD": ADMIN.password, "VOICEHELPER_URL": url}
    return CliRunner().invoke(app, list(arguments), env=environment)


async def test_ask_prints_answer_and_sources(
    url: str, harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEHELPER_HOME", str(tmp_path))
    harness.answerer.events = EVENTS
    await harness.base("政策")
    result = await apart(lambda: run_ask(url, "退款多久到账？", "--kb", "政策"))
    assert result.exit_code == 0, result.output
    assert result.stdout == "3天内。\n\n[1] 退款.md · p. 2 · 售后 > 退款\n    “款项 3天内到账。”\n"
    follow = await apart(lambda: run_ask(url, "然后呢？", "-c", "-v"))
    assert "degraded: dense" in follow.stderr
    assert "total 3 ms" in follow.stderr
    assert [turn.question for turn in harness.answerer.questions[1].history] == ["退款多久到账？"]
    whole = await apart(lambda: run_ask(url, "x", "--json"))
    assert json.loads(whole.stdout)["answer"]["citations"][0]["page"] == 2


async def test_ask_fails_honestly(url: str, harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEHELPER_HOME", str(tmp_path))
    unknown = await apart(lambda: run_ask(url, "x", "--kb", "nope"))
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "40401" in unknown.stderr
    harness.answerer.events, harness.answerer.error = EVENTS[:2], Overloaded("queue full")
    overloaded = await apart(lambda: run_ask(url, "x"))
    assert overloaded.exit_code == 1
    assert "42902" in overloaded.stderr
    down = await apart(lambda: run_ask("http://127.0.0.1:1", "x"))
    assert down.exit_code == 1
    assert "voicehelper up" in down.stderr
