import pytest

from voicehelper.rag.numbers import mentioned, stated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3至7个工作日", {"3", "7"}),
        ("１５天", {"15"}),
        ("满1,299.00元", {"1299", "1", "299"}),
        ("十五天内，两次", {"15", "2"}),
        ("一般情况下统一处理", set()),
        ("二十四小时", {"24"}),
        ("一百零五元", {"105"}),
        ("三点五倍", {"3.5"}),
        ("9.50折", {"9.5"}),
        ("007", {"7"}),
        ("", set()),
    ],
)
def test_stated(text: str, expected: set[str]) -> None:
    assert stated(text) == expected


def test_mentioned_takes_every_reading() -> None:
    assert {"1", "7", "3"} <= mentioned("统一七日，within three days")
    assert "12000" in mentioned("一万二千")
    assert mentioned("fifteen") == {"15"}


def test_same_number_in_every_script() -> None:
    for source in ("30分钟", "３０ 分钟", "三十分钟", "30.0 分钟", "thirty minutes"):
        assert "30" in mentioned(source)
