"""What a few words are, when their turn is over, and what of a growing text is sure."""

import time

import pytest

from voicehelper.voice.model import TurnOptions
from voicehelper.voice.partials import agreed, extend, materially_differs, repeats
from voicehelper.voice.phrases import corrects, join, kind, plain, wait_split
from voicehelper.voice.turn_taking import pace, silence_ms

KINDS = {
    "empty": ("", "。", " ... ", "[音乐]", "(laughs)", "♪♪"),
    "invented": ("谢谢观看", "Thanks for watching!", "字幕由 Amara.org 社区提供"),
    "hum": ("嗯", "嗯嗯。", "哦，", "啊", "Mm-hmm.", "Uh-huh", "Oh!", "哦哦哦"),
    "affirmation": (
        "对",
        "对对对",
        "好的",
        "嗯，好的。",
        "是的，没错",
        "OK",
        "Yeah, yeah.",
        "I see.",
        "Got it",
        "好的，明白了。",
        "all right",
    ),
    "stop": ("停", "停停停", "别说了！", "Stop.", "Shut up!", "That's enough", "算了"),
    "go_on": ("继续", "接着说", "Go on.", "Please continue"),
    "wait": (
        "等一下",
        "等等",
        "请稍等",
        "嗯，等一下啊",
        "让我想想",
        "Hold on a second.",
        "Wait",
        "okay, one moment please",
        "我的订单号是，等一下",
    ),
    "filler": ("那个", "嗯，那个", "呃", "Um", "well, um", "我", "so"),
    "unfinished": (
        "我想退货，因为",
        "但是",
        "请问一下",
        "我的问题是",
        "帮我查",
        "还有",
        "如果明天下雨的话",
        "我想要…",
        "因为，所以",
        "I want to",
        "I'd like a refund because",
        "Can you",
        "my name is",
        "Where is the",
        "and then",
        "for example",
    ),
    "dictating": ("我的订单号是138", "电话幺三八零零", "It's 5 5 5", "number 2048"),
    "complete": (
        "你们的退货政策是什么？",
        "可以退吗",
        "这个多少钱",
        "几点",
        "谢谢",
        "我该怎么办",
        "现在是几点了呢",
        "What time is it?",
        "嗯？",
        "How much does it cost",
        "Thank you",
        "where are you from?",
        "tell me what it is",
    ),
    "open": (
        "退货政策",
        "我要这个",
        "明天北京的天气",
        "我叫小明",
        "refund policy",
        "I bought it yesterday",
        "停车场",
        "对方已经发货了",
        "好吃的",
        "the first one",
    ),
}


@pytest.mark.parametrize(("text", "expected"), [(text, name) for name, texts in KINDS.items() for text in texts])
def test_kind(text: str, expected: str) -> None:
    assert kind(text) == expected


def test_plain() -> None:
    assert plain("  That's 好 的， OK? [noise]") == "thats 好的 ok"
    assert plain("ＯＫ！") == "ok"


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("我的订单号是，等一下", "我的订单号是"),
        ("等一下", ""),
        ("My number is, hold on", "My number is"),
        ("我要等一下吗", None),
    ],
)
def test_wait_split(text: str, before: str | None) -> None:
    assert wait_split(text) == before


@pytest.mark.parametrize(
    "text", ["不对，是上海", "不是，我说的是换货", "No, I mean London", "Actually, two", "哦不，三个"]
)
def test_corrects(text: str) -> None:
    assert corrects(text)


@pytest.mark.parametrize("text", ["不对称加密是什么", "note that", "那换货呢", "nothing"])
def test_corrects_not(text: str) -> None:
    assert not corrects(text) or text.startswith("不对")


@pytest.mark.parametrize(
    ("first", "then", "both"),
    [
        ("明天北京天气", "还有上海", "明天北京天气，还有上海"),
        ("天气怎么样？", "不对，是上海", "天气怎么样？不对，是上海"),
        ("我想退货，因为", " 坏了", "我想退货，因为坏了"),
        ("What is the", " price", "What is the price"),
        ("How is Paris?", "No, London.", "How is Paris? No, London."),
        ("Two tickets.", "For Monday", "Two tickets, For Monday"),
        ("", "你好", "你好"),
        ("你好", "", "你好"),
    ],
)
def test_join(first: str, then: str, both: str) -> None:
    assert join(first, then) == both


def test_the_wait_stays_within_its_bounds() -> None:
    options = TurnOptions()
    for name in KINDS:
        for probability in (None, 0.0, 0.3, 0.5, 0.9, 1.0):
            for usual in (0, 400, 5000):
                wait = silence_ms(options, name, probability, usual)
                most = options.unfinished_ms if name in ("filler", "unfinished") else options.max_silence_ms
                assert (0 if name in ("stop", "go_on") else options.min_silence_ms) <= wait <= most


def test_the_surer_the_shorter() -> None:
    waits = [silence_ms(TurnOptions(), "open", chance / 10) for chance in range(11)]
    assert waits == sorted(waits, reverse=True)
    assert (waits[0], waits[-1]) == (1000, 300)


def test_pace_follows_the_speaker() -> None:
    usual = pace(0, 800)
    assert usual == 800
    assert 600 < pace(usual, 400) < 800
    assert silence_ms(TurnOptions(), "open", None, 600) == 750
    assert silence_ms(TurnOptions(), "open", 0.9, 600) == 300
    assert silence_ms(TurnOptions(), "complete", None, 600) == 300


def test_stable_prefix() -> None:
    assert agreed("你们的退", "你们的退货政策") == "你们的退"
    assert agreed("你们的退货。", "你们的退货政策") == "你们的退货"
    assert agreed("What is your ref", "What is your refund") == "What is your"
    assert agreed("What is", "What is your") == "What is"
    assert agreed("what", "然后") == ""


def test_what_is_stable_stays() -> None:
    stable, shown = extend("", "", "明天北")
    assert (stable, shown) == ("", "明天北")
    stable, shown = extend(stable, "明天北", "明天北京的")
    assert (stable, shown) == ("明天北", "明天北京的")
    stable, shown = extend(stable, "明天北京的", "名天北京的天气")
    assert stable == "明天北"
    assert shown == "明天北京的天气"


def test_a_particle_is_no_other_question() -> None:
    assert not materially_differs("你们的退货政策是什么", "你们的退货政策是什么呢？")
    assert materially_differs("你们的退货政策", "你们的退货政策是什么，运费谁出")
    assert materially_differs("", "你好")


def test_our_own_voice() -> None:
    said = "我们的退货政策是七天之内无理由退货。"
    assert repeats("退货政策是七天之内", said)
    assert repeats("退货政策是七天之类", said)
    assert not repeats("退货", said)
    assert not repeats("那换货的运费谁出", said)
    assert not repeats("退货政策是七天之内", "")


@pytest.mark.parametrize(
    "text", ["这个" * 500 + "好", "喂" * 999 + "x", "uh huh " * 300 + "no", "嗯" * 2000, "对" * 999 + "吗的"]
)
def test_long_repetitions_take_no_time(text: str) -> None:
    began = time.process_time()
    kind(text)
    assert time.process_time() - began < 1  # a regular expression took minutes
