import random

import pytest

from voicehelper.documents.encoding import decode
from voicehelper.documents.failures import failure_reason
from voicehelper.documents.model import FailureReason
from voicehelper.errors import UnprocessableDocument

SIMPLIFIED = "退款一般在三个工作日内到账。如果您使用信用卡付款，到账时间为3至7个工作日。"
TRADITIONAL = "退款一般在三個工作日內到帳。如果您使用信用卡付款，到帳時間為3至7個工作日。"
ENGLISH = "It’s free — orders above €99 ship within 2 days."


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_simplified(encoding: str) -> None:
    assert decode(SIMPLIFIED.encode(encoding)) == SIMPLIFIED


@pytest.mark.parametrize("encoding", ["utf-8", "big5", "utf-16"])
def test_traditional(encoding: str) -> None:
    assert decode(TRADITIONAL.encode(encoding)) == TRADITIONAL


def test_windows_1252() -> None:
    assert decode(ENGLISH.encode("cp1252")) == ENGLISH


def test_a_declared_charset_is_believed_when_it_fits() -> None:
    short = "运费八元"
    assert decode(short.encode("gb18030"), "gb2312") == short
    assert decode(SIMPLIFIED.encode("utf-8"), "gb2312") == SIMPLIFIED


@pytest.mark.parametrize(
    "data",
    [
        bytes(128 + byte % 128 for byte in random.Random(1).randbytes(400)),
        SIMPLIFIED.encode("utf-8") + SIMPLIFIED.encode("gb18030"),
        SIMPLIFIED.encode("gb18030") + SIMPLIFIED.encode("utf-8"),
        SIMPLIFIED.encode("utf-8")[:-1] + b"\xff\xfe" + SIMPLIFIED.encode("utf-8"),
        "メロディーは流れる".encode("euc-jp"),
    ],
)
def test_unclear_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(UnprocessableDocument) as caught:
        decode(data)
    assert failure_reason(caught.value) == FailureReason.ENCODING


def test_binary_is_a_mismatch() -> None:
    with pytest.raises(UnprocessableDocument) as caught:
        decode(b"\x00\x01\x02\xff" * 100)
    assert failure_reason(caught.value) == FailureReason.MISMATCH
