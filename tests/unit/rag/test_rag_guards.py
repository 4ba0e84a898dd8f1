import pytest

from voicehelper.rag.guards import Guards, NumberGuard, RefusalGate


def play(guard: RefusalGate | NumberGuard | Guards, text: str, size: int = 2) -> list[str]:
    pieces = [guard.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return [*pieces, guard.finish()]


@pytest.mark.parametrize(
    "text",
    [
        "不知道。",
        "不知道",
        "抱歉，资料中没有提到这一点。",
        "根据资料，无法确定具体时间。",
        "资料里未提及颜色。",
        "I don't know.",
        "Sorry, the documents do not mention parking.",
        "There is no information about this.",
    ],
)
def test_ignorance_is_never_shown(text: str) -> None:
    for size in (1, 2, 5, 100):
        gate = RefusalGate()
        assert "".join(play(gate, text, size)) == ""
        assert gate.refused


@pytest.mark.parametrize(
    "text",
    [
        "3至7个工作日到账。",
        "没有实体门店，只在网上销售。",  # an answer, though it begins like a refusal
        "根据政策，签收后7天内可以退货。资料没有提到其他。",
        "不支持。",
        "No, it cannot be washed.",
        "未激活的商品可以退货。",
        "",
    ],
)
def test_answers_pass_unchanged(text: str) -> None:
    for size in (1, 3, 100):
        gate = RefusalGate()
        assert "".join(play(gate, text, size)) == text
        assert not gate.refused


def test_an_ordinary_beginning_is_not_held_back() -> None:
    assert RefusalGate().feed("3至7个") == "3至7个"


def test_number_of_no_source_never_shows() -> None:
    guard = NumberGuard(frozenset({"3", "7"}))
    assert "".join(play(guard, "要3至7天，最多15天。")) == "要3至7天，最多"
    assert guard.invented == {"15"}


def test_number_is_judged_when_complete() -> None:
    guard = NumberGuard(frozenset({"150"}))
    assert guard.feed("共1") == "共"
    assert guard.feed("5") == ""
    assert guard.feed("0元") == "150元"
    assert not guard.invented


def test_list_marks_are_not_numbers() -> None:
    guard = NumberGuard(frozenset())
    text = "1. 打开\n2. 关闭\n"
    assert "".join(play(guard, text, 1)) == text
    assert not guard.invented


def test_chinese_numerals_and_trailing_number() -> None:
    guard = NumberGuard(frozenset({"2"}))
    assert "".join(play(guard, "两天", 1)) == "两天"
    guard = NumberGuard(frozenset())
    assert "".join(play(guard, "价格是 99", 1)) == "价格是 "
    assert guard.invented == {"99"}


def test_guards_stop_the_model_soon_after_a_refusal() -> None:
    guards = Guards(frozenset())
    for piece in ("不知道", "。"):
        guards.feed(piece)
        assert not guards.over
    for piece in "请联系客服":
        assert guards.feed(piece) == ""
    assert guards.over and guards.refused and guards.finish() == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("根据您提供的资料，现金支付需要5天。", "现金支付需要5天。"),
        ("根据资料显示，可以办理。", "可以办理。"),
        ("According to the documents, it takes 5 days.", "It takes 5 days."),
        ("根据套餐的种类，价格不同。", "根据套餐的种类，价格不同。"),
    ],
)
def test_a_preamble_about_the_documents_is_taken_off(text: str, shown: str) -> None:
    for size in (1, 2, 5, 100):
        assert "".join(play(RefusalGate(), text, size)) == shown
