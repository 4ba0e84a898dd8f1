"""What is taken out of logs, traces and audit rows, and what stays."""

from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.telemetry import redact
from voicehelper.telemetry.redaction import redact_value

API_KEY = "vhk_0192f0c0a1b27c3d8e4f5a6b7c8d9e0f_3q2-7wEw_kX0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0k"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("我的手机是13812345678，谢谢", "我的手机是[phone]，谢谢"),
        ("手机１３８１２３４５６７８", "手机[phone]"),
        ("call +86 138-1234-5678 now", "call [phone] now"),
        ("008613812345678", "[phone]"),
        ("call +1 (415) 555-2671", "call [phone]"),
        ("座机 0571-88886666", "座机 [phone]"),
        ("座机 (0571)88886666", "座机 [phone]"),
        ("mail me: li.ming+x@example.com.cn!", "mail me: [email]!"),
        ("?to=li.ming%40example.com&x=1", "?to=[email]&x=1"),
        ("身份证11010519491231002X。", "身份证[id]。"),
        ("110105 19491231 002X", "[id]"),
        ("旧证 110105491231002", "旧证 [id]"),
        ("卡号 6222 0200 0000 0000 004 尾", "卡号 6222 0200 0000 0000 004 尾"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("卡6222021234567890128", "卡[card]"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [token]"),
        ("bearer.eyJhbGciOi.eyJzdWIi.c2ln", "bearer.[jwt]"),
        ("postgres://vh:s3cret@127.0.0.1:5432/db", "postgres://[credentials]@127.0.0.1:5432/db"),
        ("redis://:s3cret@127.0.0.1", "redis://[credentials]@127.0.0.1"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln", "token [jwt]"),
        (f"key {API_KEY}", "key [key]"),
        (API_KEY.replace("vhk_", "vhr_") + "!", "[key]!"),
    ],
)
def test_personal_data_and_secrets_go(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "订单 20240518003 共 1299.00 元，3-5 天",
        "request.served",
        "0.1381234567890123",
        "12345678-1234-7123-8123-123456789012",  # a UUID of digits only: the first sixteen look like a card
        "0192f0c0-a1b2-7c3d-8e4f-a13812345678",
        "a" + "13812345678" * 2 + "abcdef012",  # a trace id
        "2026-11-22T13:53:13.123456Z",
        "took 1234.5 ms for 1000000 rows",
        "127.0.0.1:54321",
        "v1.2.3-rc.4",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redact(text) == text


def test_fields_named_like_secrets_lose_their_value_at_any_depth() -> None:
    value = {"user": {"password": "hunter2", "phone": "13812345678"}, "tags": ["a@b.co"], "tokens": 12}
    assert redact_value("body", value) == {
        "user": {"password": "[secret]", "phone": "[phone]"},
        "tags": ["[email]"],
        "tokens": 12,
    }


class Note(Enum):
    CALL = "call 13812345678"


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (13812345678, "[phone]"),
        (1700000000, 1700000000),
        (ValueError("a@b.co"), "[email]"),
        (Path("/home/a@b.co"), "/home/[email]"),
        (b"13812345678", "[bytes]"),
        (Note.CALL, "call [phone]"),
        ({"a@b.co"}, ["[email]"]),
        ({"a@b.co": 1}, {"[email]": 1}),
        (UUID(int=5), UUID(int=5)),
        (None, None),
        (True, True),
    ],
)
def test_whatever_can_hold_text(value: object, clean: object) -> None:
    assert redact_value("field", value) == clean


@given(st.text(), st.from_regex(r"1[3-9]\d{9}", fullmatch=True), st.text())
def test_a_number_is_found_in_any_surroundings_that_do_not_make_it_another(
    before: str, number: str, after: str
) -> None:
    assert number not in redact(f"{before} {number} {after}")


@given(st.uuids())
def test_ids_are_never_touched(identifier: UUID) -> None:
    assert redact(f"user {identifier}, {identifier.hex}.") == f"user {identifier}, {identifier.hex}."
