import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.documents.sentences import split_sentences

ALPHABET = "ab Z09.。！？；…!?,，\n\r \t\u3000”\"'）)[1]*`中文v:/．｡"


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n ", []),
        ("退款多久到账？一般三天。", ["退款多久到账？", "一般三天。"]),
        ("他说：“好的。”然后走了。", ["他说：“好的。”", "然后走了。"]),
        ('他说："好的。"然后走了。', ['他说："好的。"', "然后走了。"]),
        ('他走了。"你好。"她说。', ["他走了。", '"你好。"', "她说。"]),
        ("（详见附件。）下一句！", ["（详见附件。）", "下一句！"]),
        ("等等……好吧。真的？！是", ["等等……", "好吧。", "真的？！", "是"]),
        ("容量是 5.5 升。价格399.00元；含税。", ["容量是 5.5 升。", "价格399.00元；", "含税。"]),
        ("请升级到 v1.2.3。See v2.0.1 now.", ["请升级到 v1.2.3。", "See v2.0.1 now."]),
        ("打开 https://a.cn/x?b=1&c=2.html 查看。好", ["打开 https://a.cn/x?b=1&c=2.html 查看。", "好"]),
        ("Use it, e.g. at home. Mr. Li agrees. Done!", ["Use it, e.g. at home.", "Mr. Li agrees.", "Done!"]),
        ("It costs $5.50. Is it ok? Yes!", ["It costs $5.50.", "Is it ok?", "Yes!"]),
        ("1. Open the lid. 2. Press start.", ["1. Open the lid.", "2. Press start."]),
        ("1.打开盖子。2.按开始。", ["1.打开盖子。", "2.按开始。"]),
        ("Open 9 a.m. to 6 p.m. Closed on Sunday.", ["Open 9 a.m. to 6 p.m.", "Closed on Sunday."]),
        (
            "See item No. 5 here. The U.S. Army. J. Smith left.",
            ["See item No. 5 here.", "The U.S. Army.", "J. Smith left."],
        ),
        ("第一行\n第二行\r\n- 列表项", ["第一行", "第二行", "- 列表项"]),
        ("七天到账。[1] 运费自理。[2][3]完", ["七天到账。[1]", "运费自理。[2][3]", "完"]),
        ("**注意。**请勿拆机。", ["**注意。**", "请勿拆机。"]),
        ("（保修一年。），不含电池。", ["（保修一年。），不含电池。"]),
        ("好。。。真的", ["好。。。", "真的"]),
        ("……他来了。", ["……他来了。"]),
        ("Wait... what? OK... Then go.", ["Wait... what?", "OK...", "Then go."]),
        ("真的?是的!好", ["真的?", "是的!", "好"]),
        ("She said “Go.” Then left.", ["She said “Go.”", "Then left."]),
    ],
)
def test_boundaries(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.one_of(st.text(), st.text(alphabet=ALPHABET, max_size=80)))
def test_nothing_is_lost_and_nothing_overlaps(text: str) -> None:
    position = 0
    for start, end in split_sentences(text):
        assert position <= start < end <= len(text)
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        assert len(text[start:end].splitlines()) == 1
        position = end
    assert not text[position:].strip()


@given(st.lists(st.text(alphabet="中文字a1，、", min_size=1, max_size=12).map(lambda s: "中" + s + "。"), max_size=8))
def test_chinese_sentences_are_found_again(parts: list[str]) -> None:
    assert sentences("".join(parts)) == parts


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ['。"，', "a.", "...", '"。"', "[1]", "）。，", "。[1]", " . ", "1.", "。", "**", "。**"]
)
def test_hostile_text_does_not_take_quadratic_time(piece: str) -> None:
    assert split_sentences(piece * 100_000)  # the timeout above is the assertion
