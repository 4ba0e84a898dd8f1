"""The inspector in real child processes, some of which misbehave."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.broken_files import make_pdf
from voicehelper.documents.failures import failure_reason
from voicehelper.documents.inspection import IsolatedInspector, inspection_limits
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.errors import UnprocessableDocument

MISBEHAVING = (
    sys.executable,
    "-c",
    "from tests.fakes.misbehaving_parser import misbehave;"
    "from voicehelper.documents import parser_process;"
    "parser_process.inspect_document = misbehave;"
    "parser_process.main()",
)
LIMITS = ParseLimits(timeout_s=1, memory_bytes=200 * 2**20)


def children(parser: IsolatedParser) -> list[int]:
    return [process._child.pid for process in parser._all if process._child is not None]


@pytest.fixture
async def parser() -> AsyncIterator[IsolatedParser]:
    async with IsolatedParser(ParseLimits(timeout_s=20), 2) as parser:
        yield parser


async def refusal(inspector: IsolatedInspector, name: str, content: bytes | Path) -> FailureReason | None:
    try:
        await inspector.inspect(name, "", content)
    except UnprocessableDocument as error:
        return failure_reason(error)
    return None


async def test_bytes_and_files_are_judged_alike(parser: IsolatedParser, tmp_path: Path) -> None:
    inspector = IsolatedInspector(parser)
    for content, wanted in ((make_pdf("退款", ["三天到账。"]), None), (b"%PDF-1.7 no", FailureReason.CORRUPT)):
        file = tmp_path / "0199-key"
        file.write_bytes(content)
        assert await refusal(inspector, "a.pdf", content) == wanted
        assert await refusal(inspector, "a.pdf", file) == wanted
    assert len(children(parser)) == 1, "one after another needs one child"


async def test_a_file_that_is_gone_is_not_called_broken(parser: IsolatedParser, tmp_path: Path) -> None:
    assert await refusal(IsolatedInspector(parser), "a.pdf", tmp_path / "gone") is None


@pytest.mark.parametrize("name", ["sleep.txt", "spin.txt", "segfault.txt", "memory.txt", "killed.txt", "exit.txt"])
async def test_what_cannot_be_told_quickly_is_let_through(name: str) -> None:
    async with IsolatedParser(LIMITS, command=MISBEHAVING) as parser:
        inspector = IsolatedInspector(parser, patience_s=60)
        assert await refusal(inspector, name, b"x") is None
        assert await refusal(inspector, "odd-error.txt", b"x") == FailureReason.CORRUPT


async def test_waiting_for_a_turn_ends() -> None:
    async with IsolatedParser(ParseLimits(timeout_s=30), command=MISBEHAVING) as parser:
        slow = asyncio.create_task(refusal(IsolatedInspector(parser, patience_s=60), "sleep.txt", b"x"))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        assert await refusal(IsolatedInspector(parser, patience_s=0.5), "odd-error.txt", b"x") is None
        assert time.monotonic() - began < 10
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_a_parser_that_does_not_start_refuses_nothing() -> None:
    async with IsolatedParser(LIMITS, command=(sys.executable, "-c", "raise SystemExit(1)")) as parser:
        assert await refusal(IsolatedInspector(parser), "a.pdf", b"%PDF-1.7 no") is None


async def test_a_killed_child_is_replaced_and_all_end_with_the_parser() -> None:
    async with IsolatedParser(ParseLimits(timeout_s=20), 2) as parser:
        inspector = IsolatedInspector(parser, patience_s=60)
        assert await refusal(inspector, "a.pdf", b"%PDF-1.7 no") == FailureReason.CORRUPT
        (first,) = children(parser)
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert await refusal(inspector, "a.pdf", b"%PDF-1.7 no") == FailureReason.CORRUPT
        (second,) = children(parser)
        assert second != first
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_look_is_short() -> None:
    assert inspection_limits(ParseLimits()).timeout_s <= 3
    assert inspection_limits(ParseLimits(timeout_s=1)).timeout_s == 1
