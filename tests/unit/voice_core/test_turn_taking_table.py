"""The turn-taking table: what is said, when, and what comes of it. Virtual time; each journal is replayed too."""

import pytest

from tests.unit.voice_core.talk import ENGLISH, HEAR, LISTEN, QUESTION, Case, Say, World, zh

CASES = [
    # -- pauses
    Case("zh: a question ends after the shortest silence", (QUESTION,), [HEAR], ((300, 420),)),
    Case("en: a question ends after the shortest silence", (ENGLISH,), [LISTEN], ((300, 420),)),
    Case(
        "zh: neither finished nor unfinished waits in between", (zh(1000, "退货政策"),), ["ask 退货政策"], ((600, 700),)
    ),
    Case(
        "en: neither finished nor unfinished waits in between",
        (Say(1000, "refund policy", 900),),
        ["ask refund policy"],
        ((600, 700),),
    ),
    Case("zh: sounds finished, so it is", (zh(1000, "退货政策", sounds=0.95),), ["ask 退货政策"], ((300, 420),)),
    Case(
        "en: sounds finished, so it is",
        (Say(1000, "refund policy", 900, sounds=0.95),),
        ["ask refund policy"],
        ((300, 420),),
    ),
    Case("zh: sounds unfinished, so 1 s", (zh(1000, "退货政策", sounds=0.05),), ["ask 退货政策"], ((950, 1050),)),
    Case(
        "en: sounds unfinished, so 1 s",
        (Say(1000, "refund policy", 900, sounds=0.05),),
        ["ask refund policy"],
        ((950, 1050),),
    ),
    Case(
        "zh: reads complete but sounds unfinished",
        (zh(1000, "这个多少钱", sounds=0.1),),
        ["ask 这个多少钱"],
        ((600, 700),),
    ),
    Case(
        "zh: a pause of 500 ms inside a sentence",
        (zh(1000, "我昨天买的耳机"), zh(2760, "坏了怎么办")),
        ["ask 我昨天买的耳机坏了怎么办"],
    ),
    Case(
        "en: a pause of 500 ms inside a sentence",
        (Say(1000, "My headphones", 800), Say(2300, " broke yesterday", 900)),
        ["ask My headphones broke yesterday"],
    ),
    Case(
        "zh: two pauses inside a sentence",
        (zh(1000, "我的订单", lasts=700), zh(2200, "到现在", lasts=600), zh(3300, "还没有发货", lasts=900)),
        ["ask 我的订单到现在还没有发货"],
    ),
    Case(
        "zh: who pauses long is given longer",
        (zh(1000, "我的订单", lasts=700), zh(2260, "到现在", lasts=600), zh(3460, "还没发货", lasts=900)),
        ["ask 我的订单到现在还没发货"],
        ((700, 730),),
    ),
    Case(
        "zh: pause of 250 ms (the detector hardly sees it)",
        (zh(1000, "你们的", lasts=500), zh(1750, "退货政策是什么？", lasts=1200)),
        ["ask 你们的退货政策是什么？"],
    ),
    Case("zh: two questions, each answered in turn", (QUESTION, zh(10_000, "运费谁出呢")), [HEAR, "ask 运费谁出呢"]),
    # -- unfinished phrases
    Case("zh: 因为 waits", (zh(1000, "我想退货，因为"), zh(4000, "它坏了")), ["ask 我想退货，因为它坏了"]),
    Case("zh: 但是 waits", (zh(1000, "我收到了但是"), zh(3800, "颜色不对")), ["ask 我收到了但是颜色不对"]),
    Case("zh: 我想问一下 waits", (zh(1000, "我想问一下"), zh(3600, "运费多少")), ["ask 我想问一下运费多少"]),
    Case("zh: 请问 waits", (zh(1000, "请问"), zh(2900, "几点开门")), ["ask 请问几点开门"]),
    Case("zh: 那个 waits", (zh(1000, "那个"), zh(2600, "能退吗")), ["ask 那个能退吗"]),
    Case(
        "zh: a comma at the end waits",
        (zh(1000, "如果我今天下单，"), zh(4100, "明天能到吗")),
        ["ask 如果我今天下单，明天能到吗"],
    ),
    Case(
        "zh: nothing follows: 2 s, then asked", (zh(1000, "我想退货，因为"),), ["ask 我想退货，因为"], ((1950, 2100),)
    ),
    Case(
        "zh: reads unfinished but sounds finished: 1 s",
        (zh(1000, "我想退货，因为", sounds=0.97),),
        ["ask 我想退货，因为"],
        ((950, 1050),),
    ),
    Case(
        "en: because waits",
        (Say(1000, "I want a refund because", 1500), Say(4000, " it broke", 700)),
        ["ask I want a refund because it broke"],
    ),
    Case("en: can you waits", (Say(1000, "Can you", 500), Say(2900, " help me?", 600)), ["ask Can you help me?"]),
    Case(
        "en: the waits",
        (Say(1000, "Where is the", 700), Say(3000, " nearest shop?", 800)),
        ["ask Where is the nearest shop?"],
    ),
    Case(
        "en: um waits",
        (Say(1000, "Um", 300), Say(2600, " what time do you open?", 1200)),
        ["ask Um what time do you open?"],
    ),
    Case(
        "en: a preposition may end a question",
        (Say(1000, "What is this for?", 1000),),
        ["ask What is this for?"],
        ((300, 420),),
    ),
    Case(
        "zh: a number being dictated waits 1 s",
        (zh(1000, "我的订单号是138"), zh(3200, "0012")),
        ["ask 我的订单号是1380012"],
    ),
    Case(
        "en: a number being dictated waits 1 s",
        (Say(1000, "My number is 555", 1200), Say(3000, " 0199", 700)),
        ["ask My number is 555 0199"],
    ),
    # -- asked to wait
    Case("zh: 等一下 is no turn", (zh(1000, "等一下"),), ["drop wait 等一下"]),
    Case(
        "zh: 等一下, then the question",
        (zh(1000, "等一下"), zh(6000, "运费多少钱")),
        ["drop wait 等一下", "ask 运费多少钱"],
    ),
    Case(
        "en: hold on, then the question",
        (Say(1000, "Hold on a second.", 800), Say(7000, "How much is it?", 900)),
        ["drop wait Hold on a second.", "ask How much is it?"],
    ),
    Case("zh: 让我想想", (zh(1000, "让我想想"), zh(5000, "订单号是什么")), ["drop wait 让我想想", "ask 订单号是什么"]),
    Case(
        "zh: in the middle of a question",
        (zh(1000, "我的订单号是，等一下"), zh(7000, "12345")),
        ["drop wait 我的订单号是，等一下", "ask 我的订单号是12345"],
    ),
    Case(
        "en: in the middle of a question",
        (Say(1000, "My order number is... hold on", 1800), Say(8000, "12345", 900)),
        ["drop wait My order number is... hold on", "ask My order number is 12345"],
    ),
    Case(
        "zh: 等一下 while we speak: silence, and the question",
        (QUESTION, zh(5000, "等一下"), zh(8000, "那换货呢")),
        [HEAR, "hold", "drop wait 等一下", "stop interrupted", "ask 那换货呢"],
    ),
    Case(
        "zh: 等一下 while we speak, then 继续",
        (QUESTION, zh(5000, "等一下"), zh(8000, "继续")),
        [HEAR, "hold", "drop wait 等一下", "drop command 继续", "resume"],
    ),
    Case(
        "zh: 等一下 while we speak, and nothing more",
        (QUESTION, zh(5000, "等一下")),
        [HEAR, "hold", "drop wait 等一下", "stop asked"],
    ),
    Case(
        "en: wait, then go on",
        (ENGLISH, Say(4500, "Wait", 350), Say(7000, "Go on", 400)),
        [LISTEN, "hold", "drop wait Wait", "drop command Go on", "resume"],
    ),
    Case("zh: 等一下吗 is a question", (zh(1000, "我需要等一下吗"),), ["ask 我需要等一下吗"]),
    # -- back-channels
    Case("zh: 嗯 while we speak", (QUESTION, zh(5000, "嗯")), [HEAR, "hold", "drop backchannel 嗯", "resume"]),
    Case(
        "zh: 对对对 while we speak", (QUESTION, zh(5000, "对对对")), [HEAR, "hold", "drop backchannel 对对对", "resume"]
    ),
    Case(
        "zh: 好的，明白了 while we speak",
        (QUESTION, zh(5000, "好的，明白了。")),
        [HEAR, "hold", "drop backchannel 好的，明白了。", "resume"],
    ),
    Case("zh: 嗯嗯 with a mark", (QUESTION, zh(5000, "嗯嗯。")), [HEAR, "hold", "drop backchannel 嗯嗯。", "resume"]),
    Case(
        "en: uh-huh while we speak",
        (ENGLISH, Say(4500, "Uh-huh.", 400)),
        [LISTEN, "hold", "drop backchannel Uh-huh.", "resume"],
    ),
    Case(
        "en: yeah, right while we speak",
        (ENGLISH, Say(4500, "Yeah, right.", 500)),
        [LISTEN, "hold", "drop backchannel Yeah, right.", "resume"],
    ),
    Case(
        "en: I see while we speak",
        (ENGLISH, Say(4500, "I see.", 400)),
        [LISTEN, "hold", "drop backchannel I see.", "resume"],
    ),
    Case("zh: 嗯 while nobody speaks", (zh(1000, "嗯"),), ["drop backchannel 嗯"]),
    Case("en: okay while nobody speaks", (Say(1000, "Okay.", 300),), ["drop backchannel Okay."]),
    Case("zh: 嗯 while we think", (QUESTION, zh(3500, "嗯")), [HEAR, "hold", "drop backchannel 嗯", "resume"]),
    Case(
        "zh: 三次嗯, and the answer goes on",
        (QUESTION, zh(4500, "嗯"), zh(5700, "嗯"), zh(6900, "对")),
        [HEAR, *["hold", "drop backchannel 嗯", "resume"] * 2, "hold", "drop backchannel 对", "resume"],
    ),
    Case("zh: 对 answers our question", (QUESTION, zh(8500, "对")), [HEAR, "ask 对"], world=World(asks_back=True)),
    Case(
        "en: yes answers our question",
        (ENGLISH, Say(8500, "Yes.", 300)),
        [LISTEN, "ask Yes."],
        world=World(asks_back=True),
    ),
    Case(
        "zh: 好的 as our question ends",
        (QUESTION, zh(7300, "好的")),
        [HEAR, "hold", "stop interrupted", "ask 好的"],
        world=World(asks_back=True),
    ),
    Case(
        "zh: 嗯 far from the end of our question",
        (QUESTION, zh(5000, "嗯")),
        [HEAR, "hold", "drop backchannel 嗯", "resume"],
        world=World(asks_back=True),
    ),
    Case(
        "zh: 嗯, and then a question",
        (QUESTION, zh(5000, "嗯，那运费呢")),
        [HEAR, "hold", "stop interrupted", "ask 嗯，那运费呢"],
    ),
    Case("zh: 谢谢 is a turn", (zh(1000, "谢谢"),), ["ask 谢谢"]),
    Case("zh: 不对 is no back-channel", (QUESTION, zh(5000, "不对")), [HEAR, "hold", "stop interrupted", "ask 不对"]),
    # -- corrections, and more
    Case(
        "zh: 不对，是… before the answer",
        (zh(1000, "明天北京天气怎么样"), zh(3100, "不对，是上海")),
        ["ask 明天北京天气怎么样", "hold", "stop superseded", "ask 明天北京天气怎么样，不对，是上海 (for 1)"],
    ),
    Case(
        "en: no, I mean before the answer",
        (Say(1000, "How is the weather in Paris?", 1500), Say(3000, "No, I mean London.", 900)),
        [
            "ask How is the weather in Paris?",
            "hold",
            "stop superseded",
            "ask How is the weather in Paris? No, I mean London. (for 1)",
        ],
    ),
    Case(
        "zh: a correction in one breath",
        (zh(1000, "明天北京，不对，是上海的天气怎么样"),),
        ["ask 明天北京，不对，是上海的天气怎么样"],
    ),
    Case(
        "zh: a correction while we speak",
        (QUESTION, zh(5000, "不对，我说的是换货")),
        [HEAR, "hold", "stop interrupted", "ask 不对，我说的是换货"],
    ),
    Case(
        "zh: a late correction of a slow answer",
        (zh(1000, "明天北京天气怎么样"), zh(7500, "不对，是上海")),
        [
            "ask 明天北京天气怎么样",
            "acknowledge",
            "hold",
            "stop superseded",
            "ask 明天北京天气怎么样，不对，是上海 (for 1)",
        ],
        world=World(answer_ms=20_000, until=10_000),
    ),
    Case(
        "zh: cut off too early: the rest is added",
        (zh(1000, "我要订一张票"), zh(3350, "去上海的")),
        ["ask 我要订一张票", "hold", "stop superseded", "ask 我要订一张票，去上海的 (for 1)"],
    ),
    Case(
        "zh: a new question to a slow answer",
        (QUESTION, zh(9000, "运费多少钱")),
        [HEAR, "acknowledge", "hold", "stop interrupted", "ask 运费多少钱"],
        world=World(answer_ms=20_000, until=11_000),
    ),
    # -- noise
    Case("a click is nothing", (Say(1000, "", 70),), ["drop empty"]),
    Case("a door is nothing", (Say(1000, "", 600),), ["drop empty"]),
    Case("a click while we speak", (QUESTION, Say(5000, "", 70)), [HEAR, "hold", "drop empty", "resume"]),
    Case("a cough while we speak", (QUESTION, Say(5000, "", 300)), [HEAR, "hold", "drop empty", "resume"]),
    Case("long noise while we speak", (QUESTION, Say(5000, "", 6000)), [HEAR, "hold", "resume", "drop empty"]),
    Case(
        "a television: text of no confidence",
        (QUESTION, Say(5000, "今晚的节目到此结束", 1500, confidence=0.1)),
        [HEAR, "hold", "resume", "drop noise 今晚的节目到此结束"],
    ),
    Case("what Whisper invents", (Say(1000, "谢谢观看！", 900),), ["drop noise 谢谢观看！"]),
    Case(
        "what Whisper invents, in English",
        (Say(1000, "Thanks for watching!", 900),),
        ["drop noise Thanks for watching!"],
    ),
    Case("music in brackets", (Say(1000, "[音乐]", 900),), ["drop noise [音乐]"]),
    Case(
        "our own voice in the microphone",
        (QUESTION, zh(5000, "退货政策是七天之内")),
        [HEAR, "hold", "resume", "drop echo 退货政策是七天之内"],
    ),
    Case("coughs, then the question", (Say(1000, "", 300), zh(2500, "几点开门")), ["drop empty", "ask 几点开门"]),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case) -> None:
    case.check()


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
