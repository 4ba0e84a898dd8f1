import pytest

from voicehelper.telemetry import redact
from voicehelper.telemetry.redaction import redact_value


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("我的手机是13812345678，谢谢", "我的手机是[phone]，谢谢"),
        ("call +86 138-1234-5678 now", "call [phone] now"),
        ("座机 0571-88886666", "座机 [phone]"),
        ("mail me: li.ming+x@example.com.cn!", "mail me: [email]!"),
        ("身份证11010519491231002X。", "身份证[id]。"),
        ("卡号 6222 0200 0000 0000 004 尾", "卡号 6222 0200 0000 0000 004 尾"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [token]"),
        ("postgres://vh:s3cret@127.0.0.1:5432/db", "postgres://[credentials]@127.0.0.1:5432/db"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln", "token [jwt]"),
        ("订单 20240518003 共 1299.00 元，3-5 天", "订单 20240518003 共 1299.00 元，3-5 天"),
    ],
)
def test_redacts_personal_data_and_nothing_else(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_fields_named_like_secrets_lose_their_value_at_any_depth() -> None:
    value = {"user": {"password": "hunter2", "phone": "13812345678"}, "tags": ["a@b.co"], "tokens": 12}
    assert redact_value("body", value) == {
        "user": {"password": "[secret]", "phone": "[phone]"},
        "tags": ["[email]"],
        "tokens": 12,
    }
