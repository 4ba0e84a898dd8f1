import asyncio
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.broken_files import broken_files, make_docx, make_pdf
from voicehelper.documents.failures import failure_reason
from voicehelper.documents.isolation import IsolatedParser, ParserProcess, parse_isolated
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.documents.parsers import parse_document
from voicehelper.errors import Unavailable, UnprocessableDocument

FAKE = (sys.executable, str(Path(__file__).resolve().parents[2] / "fakes" / "misbehaving_parser.py"))
LIMITS = ParseLimits(timeout_s=3, memory_bytes=200 * 2**20, max_text_chars=10_000)


def pid(parser: ParserProcess) -> str:
    return parser.parse(b"", "pid.txt").text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("segfault.txt", FailureReason.CRASH),
        ("exit.txt", FailureReason.CRASH),
        ("killed.txt", FailureReason.MEMORY),
        ("memory.txt", FailureReason.MEMORY),
        ("sleep.txt", FailureReason.TIMEOUT),
        ("spin.txt", FailureReason.TIMEOUT),
        ("large.txt", FailureReason.TOO_LARGE),
        ("recursion.txt", FailureReason.CORRUPT),
        ("odd-error.txt", FailureReason.CORRUPT),
        ("network.txt", FailureReason.CORRUPT),
        ("write.txt", FailureReason.CORRUPT),
    ],
)
def test_a_bad_file_fails_alone(name: str, reason: FailureReason) -> None:
    with ParserProcess(LIMITS, command=FAKE) as parser:
        first = pid(parser)
        with pytest.raises(UnprocessableDocument) as caught:
            parser.parse(b"x", name)
        assert failure_reason(caught.value) == reason
        assert parser.parse("好".encode(), "good.txt").text == "好"
        survived = reason == FailureReason.CORRUPT
        assert (pid(parser) == first) == survived


def test_what_a_library_prints_is_no_reply() -> None:
    with ParserProcess(LIMITS, command=FAKE) as parser:
        assert parser.parse(b"ok", "prints.txt").text == "ok"


def test_the_child_gets_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEHELPER_CHAT__API_KEY", "secret")
    with ParserProcess(LIMITS, command=FAKE) as parser:
        assert "VOICEHELPER" not in parser.parse(b"", "environment.txt").text


def test_the_child_is_kept_and_ends_with_us() -> None:
    with ParserProcess(LIMITS, command=FAKE) as parser:
        child = int(pid(parser))
        assert pid(parser) == str(child)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_that_does_not_start_is_unavailable() -> None:
    with (
        ParserProcess(LIMITS, command=(sys.executable, "-c", "raise SystemExit(1)")) as parser,
        pytest.raises(Unavailable),
    ):
        parser.parse(b"x", "a.txt")


def test_kill_from_another_thread_ends_a_parse() -> None:
    with ParserProcess(ParseLimits(timeout_s=60), command=FAKE) as parser:
        pid(parser)
        threading.Timer(0.3, parser.kill).start()
        began = time.monotonic()
        with pytest.raises(UnprocessableDocument):
            parser.parse(b"x", "sleep.txt")
        assert time.monotonic() - began < 30


async def test_cancelling_kills_the_child() -> None:
    async with IsolatedParser(ParseLimits(timeout_s=60), command=FAKE) as parser:
        child = int((await parser.parse(b"", "pid.txt")).text)
        work = asyncio.create_task(parser.parse(b"x", "sleep.txt"))
        await asyncio.sleep(0.3)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (await parser.parse(b"fine", "good.txt")).text == "fine"
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


async def test_several_children_work_at_once() -> None:
    async with IsolatedParser(LIMITS, workers=2, command=FAKE) as parser:
        slow = asyncio.create_task(parser.parse(b"x", "sleep.txt"))
        await asyncio.sleep(0)
        assert (await parser.parse(b"fine", "good.txt")).text == "fine"
        assert not slow.done()
        with pytest.raises(UnprocessableDocument):
            await slow


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.md", "a.html"])
def test_same_result_as_in_process(name: str) -> None:
    text = "退款一般三个工作日到账。"
    data = {"a.pdf": make_pdf("标题", [text]), "a.docx": make_docx([text], "标题")}.get(name, f"<p>{text}</p>".encode())
    with ParserProcess() as parser:
        assert parser.parse(data, name) == parse_document(data, name)


async def test_one_shot_with_a_path(tmp_path: Path) -> None:
    file = tmp_path / "说明.txt"
    file.write_text("退款一般三个工作日到账。", encoding="gb18030")
    assert (await parse_isolated(file, file.name)).text == "退款一般三个工作日到账。"


def test_broken_files_keep_their_reason_and_the_child() -> None:
    with ParserProcess() as parser:
        for name, (data, reason) in broken_files().items():
            with pytest.raises(UnprocessableDocument) as caught:
                parser.parse(data, name)
            assert failure_reason(caught.value) == reason, name
