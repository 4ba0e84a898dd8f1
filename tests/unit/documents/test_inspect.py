"""The quick checks never refuse what parsing would take, and give the same reason."""

from collections.abc import Callable

import pytest

from tests.fakes.broken_files import broken_files, make_docx, make_pdf
from voicehelper.documents.failures import MESSAGES, failure_reason
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.documents.parsers import inspect_document, parse_document
from voicehelper.errors import UnprocessableDocument
from voicehelper.gateway.catalogue import ZH_REASONS

BROKEN = broken_files()
LATER = {"scanned.pdf", "blank-page.pdf", "endless.txt", "front-matter-only.md", "script-only.html", "empty.docx"}


def reason_of(check: Callable[..., object], data: bytes, name: str) -> FailureReason | None:
    try:
        check(data, name)
    except UnprocessableDocument as error:
        return failure_reason(error)
    return None


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_refusal_has_the_reason_that_parsing_gives(name: str) -> None:
    data, reason = BROKEN[name]
    assert reason_of(inspect_document, data, name) == (None if name in LATER else reason)


TEXT = "退款一般三个工作日到账，请您耐心等待。"
GOOD = {
    "a.txt": TEXT.encode("gb18030"),
    "b.md": f"---\ntitle: 退款\n---\n# 退款\n\n{TEXT}".encode(),
    "c.html": f'<meta charset="gbk"><p>{TEXT}</p>'.encode("gbk"),
    "d.pdf": make_pdf("退款", [TEXT]),
    "e.docx": make_docx([TEXT], "退款"),
    "f.txt": TEXT.encode("utf-16"),
    "g.txt": b"1",
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_parses_is_let_through(name: str) -> None:
    assert parse_document(GOOD[name], name).blocks
    inspect_document(GOOD[name], name)


def test_no_damage_makes_inspection_stricter_than_parsing() -> None:
    """Cut and bent at many places: whatever is refused would have failed, for the same reason."""
    refused = 0
    for name in ("d.pdf", "e.docx", "a.txt", "f.txt"):
        whole = GOOD[name]
        for step in range(1, 12):
            at = len(whole) * step // 12
            for data in (whole[:at], whole[:at] + b"\xff\x00" + whole[at + 2 :]):
                reason = reason_of(inspect_document, data, name)
                refused += reason is not None
                assert reason is None or reason_of(parse_document, data, name) == reason, (name, step)
    assert refused > 10


def test_the_limits_of_unpacking_count() -> None:
    limits = ParseLimits(max_unpacked_bytes=1000)
    with pytest.raises(UnprocessableDocument) as caught:
        inspect_document(GOOD["e.docx"], "e.docx", limits=limits)
    assert failure_reason(caught.value) == FailureReason.BOMB


def test_every_reason_has_a_text_in_both_languages() -> None:
    assert set(MESSAGES) == set(ZH_REASONS) == set(FailureReason)
