import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.voice.clauses import ClauseSplitter


def cut(text, size=1):
    splitter, said = ClauseSplitter(), []
    for start in range(0, len(text), size):
        splitter.feed(text[start : start + size])
        while (piece := splitter.take()) is not None:
            said.append(piece)
    splitter.finish()
    while (piece := splitter.take()) is not None:
        said.append(piece)
    assert splitter.done
    assert [piece.start for piece in said] == [0, *(piece.end for piece in said)][: len(said)]
    return [piece.text for piece in said]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("您好，退货需要在签收后7天内申请。", "您好，"),
        ("好的。您的订单正在派送中。", "好的。"),
        ("退货需要在签收后七天内提出申请并且保持商品完好不影响二次销售。", "退货需要在签收后七天内提出申请"),
        ("可以，", "可以，"),
        ("价格是￥1,299.00元，含税。", "价格是￥1,299.00元，"),
        ("Sure! Here it is.", "Sure!"),
        ("You can return the item within 7 days after receipt of the goods.", "You can return the item within 7 days "),
        ("Dr. Smith said so. Yes.", "Dr. Smith said so."),
    ],
)
def test_the_first_clause_is_short(text, first):
    assert cut(text)[0] == first


@pytest.mark.parametrize(
    "whole",
    [
        "3.5",
        "1,299.00",
        "10:30",
        "2024-05-01",
        "3-5",
        "v1.2.3",
        "https://example.com/a.b?c=d,e",
        "a.b@example.com",
        "￥12.50",
        "“好的。请坐。”",
        "（第3.5版。）",
        "《规则。一》",
        "e.g. this",
        "U.S. mail",
        "`a.b; c`",
        "[帮助。中心](https://x.com/a)",
        "400-820-8820",
    ],
)
@pytest.mark.parametrize("before", ["请您注意这里有一个内容是", "Please look at this one which is "])
def test_nothing_is_cut_within(whole, before):
    pieces = cut(f"{before}{whole} 然后继续说下去，一直到最后为止。")
    assert any(whole in piece for piece in pieces), pieces


def test_later_clauses_are_sentences():
    text = "好的，我来说明。退货要在七天内，运费自理。质量问题由我们承担。"
    assert cut(text) == ["好的，", "我来说明。", "退货要在七天内，运费自理。", "质量问题由我们承担。"]


def test_lines_and_code_stand_for_themselves():
    text = "步骤如下：\n1. 打开 App\n2. 选择退货\n\n```python\nprint('。')\n```\n完成。"
    assert cut(text)[-2].strip().startswith("```python")
    assert cut(text)[-1] == "完成。"
    assert cut(text)[1].strip() == "1. 打开 App"


def test_a_text_without_marks_is_cut_all_the_same():
    assert max(map(len, cut("没有标点的文字" * 60))) <= 130


def test_a_stall_gives_what_sounds_natural_only():
    splitter = ClauseSplitter()
    splitter.feed("好的，我来说明，退货要在七天")
    assert splitter.take().text == "好的，"
    assert splitter.take() is None
    assert splitter.take(stalled=True).text == "我来说明，"
    assert splitter.take(stalled=True) is None


@given(st.text(alphabet="您好退货，。！？、：；.,!?:;- \n“”()（）[]`*123ab|#@/", max_size=120), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_every_character_comes_once_whatever_the_pieces(text, size):
    assert "".join(cut(text, size)) == text


def test_a_long_hostile_text_takes_no_long_time():
    for text in ("(" * 20_000, "1." * 10_000, "a" * 20_000, "“" * 20_000, "，" * 20_000):
        splitter = ClauseSplitter()
        splitter.feed(text)
        splitter.finish()
        began = time.process_time()
        while splitter.take() is not None:
            pass
        assert time.process_time() - began < 20
