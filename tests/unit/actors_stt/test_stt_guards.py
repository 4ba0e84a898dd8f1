"""What Whisper makes up is recognised; what people say is left alone."""

import pytest

from actors.stt import guards


@pytest.mark.parametrize(
    "text",
    [
        "字幕by索兰娅",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "Subtitles by the Amara.org community",
        "字幕由Amara.org社区提供",
    ],
)
def test_credits_are_never_said(text):
    assert guards.hallucinated(text, no_speech=0.0, log_probability=-0.1)


@pytest.mark.parametrize("text", ["谢谢观看！", "Thank you.", "Thanks for watching!", "you", "谢谢大家"])
def test_stock_phrases_are_believed_only_where_somebody_speaks_clearly(text):
    assert guards.hallucinated(text, no_speech=0.5, log_probability=-0.3)
    assert guards.hallucinated(text, no_speech=0.05, log_probability=-0.9)
    assert not guards.hallucinated(text, no_speech=0.05, log_probability=-0.3)


def test_whispers_own_rule_for_silence():
    assert guards.hallucinated("退款", no_speech=0.7, log_probability=-1.2)
    assert not guards.hallucinated("退款", no_speech=0.7, log_probability=-0.4)
    assert not guards.hallucinated("退款多久到账", no_speech=0.3, log_probability=-0.8)


def test_the_prompt_is_no_answer():
    prompt = " 以下是普通话的句子。提到：星河卡、北斗路。"
    assert guards.echoes("以下是普通话的句子", [prompt])
    assert guards.echoes("提到:星河卡、北斗路", [prompt])
    assert not guards.echoes("星河卡怎么办理", [prompt])
    words = "以下是普通话的句子。提到：退款、到账、运费、订单。"
    assert guards.echoes("到账、运费、订单", [words])
    assert not guards.echoes("到账", [words]), "he may have said it"
    assert not guards.echoes("订单、运费、退款", [words])
    assert not guards.echoes("", [""])


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("好的好的好的好的好的好的好的好的好的好的好的好的", "好的"),
        ("built around it. The hopes. The hopes. The hopes. The hopes. The hopes.", "built around it. The hopes."),
    ],
)
def test_loops_are_found_and_unrolled(text, once):
    assert guards.loops(text)
    assert guards.unrolled(text) == once


@pytest.mark.parametrize(
    "text", ["我的号码是 1381381381", "对对对，就是这个。", "bye bye", "It was the first great sorrow of his life."]
)
def test_people_repeat_themselves_too(text):
    assert not guards.loops(text)


@pytest.mark.parametrize(
    ("text", "seconds", "kept"),
    [
        ("退款要多少天才能到账。退款要多少天才能到账。", 2.4, "退款要多少天才能到账。"),
        ("退款要多少天才能到账。退款要多少天才能到账。", 6.0, "退款要多少天才能到账。退款要多少天才能到账。"),
        ("你好。你好。", 1.5, "你好。你好。"),
        ("多久到账？多久到账。", 1.0, "多久到账？"),
        ("Where is my order? Where is my order?", 1.3, "Where is my order?"),
        ("第一句话。第二句话。", 0.5, "第一句话。第二句话。"),
    ],
)
def test_a_sentence_that_nobody_can_say_twice_so_quickly(text: str, seconds: float, kept: str) -> None:
    assert guards.said_once(text, seconds) == kept
