"""The second half of the turn-taking table: interruptions, silence, by hand, typing, lost connections, limits."""

from dataclasses import replace

import pytest

from tests.unit.voice_core.talk import ENGLISH, HEAR, LISTEN, QUESTION, Case, Do, Lose, Say, World, zh
from voicehelper.voice import model as m

PUSH = replace(m.TurnOptions(), automatic=False)
ASK_ONLY = replace(m.TurnOptions(), answers=False)
POLITE = replace(m.TurnOptions(), interruptible=False)
NO_PARTIALS = replace(m.TurnOptions(), partial_ms=0)

CASES = [
    # -- barge-in
    Case(
        "zh: a question stops the sound",
        (QUESTION, zh(5000, "那换货呢")),
        [HEAR, "hold", "stop interrupted", "ask 那换货呢"],
    ),
    Case(
        "en: a question stops the sound",
        (ENGLISH, Say(4500, "What about exchanges?", 1000)),
        [LISTEN, "hold", "stop interrupted", "ask What about exchanges?"],
    ),
    Case(
        "zh: a long interruption stops before its end",
        (QUESTION, zh(5000, "我不想知道这个我想知道换货怎么办")),
        [HEAR, "hold", "stop interrupted", "ask 我不想知道这个我想知道换货怎么办"],
    ),
    Case("zh: 停", (QUESTION, zh(5000, "停", lasts=300)), [HEAR, "hold", "drop command 停", "stop asked"]),
    Case("zh: 别说了", (QUESTION, zh(5000, "别说了。")), [HEAR, "hold", "drop command 别说了。", "stop asked"]),
    Case("en: stop", (ENGLISH, Say(4500, "Stop.", 300)), [LISTEN, "hold", "drop command Stop.", "stop asked"]),
    Case("en: shut up", (ENGLISH, Say(4500, "Shut up!", 400)), [LISTEN, "hold", "drop command Shut up!", "stop asked"]),
    Case("zh: 停车 is no 停", (QUESTION, zh(5000, "停车收费吗")), [HEAR, "hold", "stop interrupted", "ask 停车收费吗"]),
    Case(
        "zh: 停 while we think", (QUESTION, zh(3500, "停", lasts=300)), [HEAR, "hold", "drop command 停", "stop asked"]
    ),
    Case("zh: 停 while nobody speaks", (zh(1000, "停", lasts=300),), ["drop command 停"]),
    Case(
        "zh: we must not be interrupted: asked afterwards",
        (QUESTION, zh(5000, "那换货呢")),
        [HEAR, "ask 那换货呢"],
        world=World(options=POLITE),
    ),
    Case("the client asks for silence", (QUESTION, Do(5000, m.Interrupted())), [HEAR, "stop asked"]),
    Case("the client asks for silence while we think", (QUESTION, Do(3500, m.Interrupted())), [HEAR, "stop asked"]),
    Case(
        "zh: interrupted twice",
        (QUESTION, zh(5000, "那换货呢"), zh(8500, "运费多少钱")),
        [HEAR, "hold", "stop interrupted", "ask 那换货呢", "hold", "stop interrupted", "ask 运费多少钱"],
    ),
    Case(
        "zh: a recogniser without partials",
        (QUESTION, zh(5000, "那换货呢")),
        [HEAR, "hold", "stop interrupted", "ask 那换货呢"],
        world=World(options=NO_PARTIALS),
    ),
    Case(
        "zh: 嗯 to a recogniser without partials",
        (QUESTION, zh(5000, "嗯")),
        [HEAR, "hold", "drop backchannel 嗯", "resume"],
        world=World(options=NO_PARTIALS),
    ),
    Case(
        "zh: the greeting is interrupted",
        (zh(1500, "几点开门"),),
        ["say 您好", "hold", "stop interrupted", "ask 几点开门"],
        world=World(greeting="您好"),
    ),
    # -- dead air
    Case("a slow answer: a word is said", (QUESTION,), [HEAR, "acknowledge"], world=World(answer_ms=3000)),
    Case("a fast answer: none", (QUESTION,), [HEAR], world=World(answer_ms=1400)),
    Case(
        "a very slow answer: more, further apart, and not for ever",
        (QUESTION,),
        [HEAR, *["acknowledge"] * 3],
        world=World(answer_ms=60_000, until=50_000),
    ),
    Case(
        "not while he speaks",
        (QUESTION, zh(4500, "我还想问一下换货的运费是谁来付", sounds=0.9)),
        [
            HEAR,
            "hold",
            "stop superseded",
            "ask 你们的退货政策是什么？我还想问一下换货的运费是谁来付 (for 1)",
            "acknowledge",
        ],
        world=World(answer_ms=3000),
    ),
    Case("the answer fails", (QUESTION,), [HEAR, "failure answer"], world=World(answer_fails=True)),
    # -- by hand
    Case(
        "push to talk: a pause ends nothing",
        (zh(1000, "我想退货", lasts=800), zh(5000, "可以吗", lasts=600), Do(6000, m.InputCommitted())),
        ["ask 我想退货可以吗"],
        world=World(options=PUSH),
    ),
    Case(
        "push to talk: 嗯 is a turn",
        (zh(1000, "嗯"), Do(2000, m.InputCommitted())),
        ["ask 嗯"],
        world=World(options=PUSH),
    ),
    Case(
        "push to talk: committed in mid-word",
        (QUESTION, Do(2980, m.InputCommitted())),
        [HEAR],
        world=World(options=PUSH),
    ),
    Case("push to talk: nothing was said", (Do(2000, m.InputCommitted()),), ["drop empty"], world=World(options=PUSH)),
    Case(
        "push to talk while we speak",
        (QUESTION, Do(3100, m.InputCommitted()), zh(5000, "那换货呢"), Do(6000, m.InputCommitted())),
        [HEAR, "stop interrupted", "ask 那换货呢"],
        world=World(options=PUSH),
    ),
    Case(
        "push to talk: taken back",
        (QUESTION, Do(3100, m.InputCleared()), zh(5000, "那换货呢"), Do(6000, m.InputCommitted())),
        ["drop cleared 你们的退货政策是什么", "ask 那换货呢"],
        world=World(options=PUSH),
    ),
    Case(
        "committed before the silence was long enough",
        (zh(1000, "退货政策"), Do(1800, m.InputCommitted())),
        ["ask 退货政策"],
        ((0, 250),),
    ),
    Case("answers are asked for", (QUESTION, Do(5000, m.ResponseWanted())), [HEAR], world=World(options=ASK_ONLY)),
    Case(
        "answers are asked for before the text is there",
        (QUESTION, Do(3100, m.InputCommitted()), Do(3110, m.ResponseWanted())),
        [HEAR],
        world=World(options=ASK_ONLY),
    ),
    Case(
        "two turns, one answer",
        (QUESTION, zh(5000, "那换货呢"), Do(7000, m.ResponseWanted())),
        ["ask 你们的退货政策是什么？\n那换货呢"],
        world=World(options=ASK_ONLY),
    ),
    Case("an answer to nothing", (Do(2000, m.ResponseWanted()),), ["failure response"], world=World(options=ASK_ONLY)),
    # -- text
    Case("typed", (Do(1000, m.TextTyped("运费多少")),), ["ask 运费多少"]),
    Case(
        "typed while we speak",
        (QUESTION, Do(5000, m.TextTyped("运费多少"))),
        [HEAR, "stop interrupted", "ask 运费多少"],
    ),
    Case(
        "typed while we think",
        (QUESTION, Do(3500, m.TextTyped("运费多少"))),
        [HEAR, "stop interrupted", "ask 运费多少"],
    ),
    Case(
        "typed while he speaks: one question",
        (zh(1000, "这个怎么用", lasts=2000), Do(2000, m.TextTyped("型号 A7"))),
        ["ask 型号 A7", "hold", "stop superseded", "ask 型号 A7，这个怎么用 (for 1)"],
    ),
    Case("typed nothing", (Do(1000, m.TextTyped("  ")),), []),
    Case(
        "typed while he asked to wait",
        (zh(1000, "等一下"), Do(4000, m.TextTyped("12345"))),
        ["drop wait 等一下", "ask 12345"],
    ),
    # -- connections
    Case("lost while we speak, and back", (QUESTION, Lose(5000, 8000)), [HEAR, "resumed"]),
    Case(
        "lost while we think, and back: asked again, with the same number",
        (QUESTION, Lose(3500, 6000)),
        [HEAR, "resumed"],
    ),
    Case("lost while he speaks: he is heard again", (QUESTION, Lose(2000, 4000)), ["resumed", HEAR]),
    Case(
        "lost in his pause: the silence is not taken for one",
        (zh(1000, "我想退货", lasts=800), zh(2300, "可以吗", lasts=500), Lose(2100, 5000)),
        ["resumed", "ask 我想退货可以吗"],
    ),
    Case("the replica dies while we think", (QUESTION, Lose(3500, 6000, elsewhere=True)), [HEAR, "resumed", HEAR]),
    Case("the replica dies while he speaks", (QUESTION, Lose(2000, 4000, elsewhere=True)), ["resumed", HEAR]),
    Case(
        "the replica dies while he interrupts",
        (QUESTION, zh(5000, "那换货呢"), Lose(5300, 7000, elsewhere=True)),
        [HEAR, "hold", "resumed", "hold", "stop interrupted", "ask 那换货呢"],
    ),
    Case("lost twice", (QUESTION, Lose(2000, 2500), Lose(3700, 4500)), ["resumed", HEAR, "resumed"]),
    Case("lost and never back", (QUESTION, Lose(5000)), [HEAR, "stop closed", "end lost"], world=World(until=60_000)),
    Case(
        "lost for 29 s",
        (QUESTION, Lose(10_000, 39_000), zh(40_000, "那换货呢")),
        [HEAR, "resumed", "ask 那换货呢"],
        world=World(until=60_000),
    ),
    # -- limits and failures
    Case("nothing said for five minutes", (), ["end idle"], world=World(until=400_000)),
    Case(
        "noise does not keep it open",
        tuple(Say(at, "", 300) for at in range(1000, 300_000, 50_000)),
        [*["drop empty"] * 6, "end idle"],
        world=World(until=400_000),
    ),
    Case(
        "a talk keeps it open",
        (QUESTION, zh(200_000, "那换货呢"), zh(420_000, "谢谢")),
        [HEAR, "ask 那换货呢", "ask 谢谢"],
        world=World(until=430_000),
    ),
    Case(
        "an utterance of a minute is one turn",
        (zh(1000, "一" * 200, lasts=60_000),),
        ["ask " + "一" * 200],
        world=World(until=90_000),
    ),
    Case("the transcript fails once", (QUESTION,), [HEAR], world=World(failing=(4,))),
    Case("no transcript at all", (QUESTION,), ["failure recognition", "drop failed"], world=World(failing=(-1,))),
    Case(
        "no transcript while we speak: the sound goes on",
        (QUESTION, zh(5000, "那换货呢")),
        [HEAR, "hold", "failure recognition", "drop failed", "resume"],
        world=World(failing=tuple(range(5, 20))),
    ),
    Case(
        "sound stalls in a pause: it is waited for",
        (zh(1000, "退货政策"),),
        ["ask 退货政策"],
        ((1100, 1500),),
        world=World(stalls_at=1800),
    ),
    Case("a slow recogniser: 2 s", (QUESTION,), [HEAR], ((2000, 2300),), world=World(asr_ms=2000)),
    Case(
        "a slow recogniser: 嗯",
        (QUESTION, zh(8000, "嗯")),
        [HEAR, "hold", "drop backchannel 嗯", "resume"],
        world=World(asr_ms=2000),
    ),
    Case(
        "closed by the client in the middle",
        (QUESTION, Do(5000, m.CloseRequested("client"))),
        [HEAR, "stop closed", "end client"],
    ),
    # -- what users of others complain of
    Case(
        "zh: he begins while we think and goes on over our first sound: none is heard, one question",
        (QUESTION, zh(3800, "还有运费谁来出呢")),
        [HEAR, "hold", "stop superseded", "ask 你们的退货政策是什么？还有运费谁来出呢 (for 1)"],
    ),
    Case(
        "zh: he begins just as we do: he has not heard us",
        (QUESTION, zh(4100, "还有运费谁来出呢")),
        [HEAR, "hold", "stop superseded", "ask 你们的退货政策是什么？还有运费谁来出呢 (for 1)"],
    ),
    Case(
        "zh: 好的, and the question after a breath",
        (QUESTION, zh(5000, "好的，", lasts=400), zh(5900, "那换货呢")),
        [HEAR, "hold", "drop backchannel 好的，", "resume", "hold", "stop interrupted", "ask 那换货呢"],
    ),
    Case(
        "zh: 嗯 by itself, then the question",
        (zh(1000, "嗯"), zh(2600, "几点开门")),
        ["drop backchannel 嗯", "ask 几点开门"],
    ),
    Case(
        "zh: 等一下 while we think, and nothing more: the answer is said",
        (QUESTION, zh(3500, "等一下")),
        [HEAR, "hold", "drop wait 等一下", "resume"],
    ),
    Case(
        "zh: 等一下, and he speaks for longer than that lasts",
        (zh(1000, "等一下"), zh(9000, "我找到了订单号就是这个吧", lasts=4000)),
        ["drop wait 等一下", "ask 我找到了订单号就是这个吧"],
    ),
    Case(
        "zh: we must not be interrupted, by 停 neither",
        (QUESTION, zh(5000, "停", lasts=300)),
        [HEAR, "drop command 停"],
        world=World(options=POLITE),
    ),
    Case(
        "zh: we must not be interrupted, but the button does it",
        (QUESTION, zh(5000, "那换货呢"), Do(7200, m.Interrupted())),
        [HEAR, "stop asked", "ask 那换货呢"],
        world=World(options=POLITE),
    ),
    Case(
        "typed twice in a row",
        (Do(1000, m.TextTyped("运费多少")), Do(1300, m.TextTyped("到上海"))),
        ["ask 运费多少", "stop interrupted", "ask 到上海"],
    ),
    Case(
        "pressed after the turn had ended by itself",
        (zh(1000, "退货政策"), Do(2400, m.InputCommitted())),
        ["ask 退货政策", "drop empty", "acknowledge"],
        world=World(answer_ms=5000, until=6000),
    ),
    Case(
        "pressed while the text is awaited", (QUESTION, Do(3600, m.InputCommitted())), [HEAR], world=World(asr_ms=2000)
    ),
    Case(
        "automatic from the middle of a pause on",
        (zh(1000, "我想退货", lasts=800), Do(3000, m.Configured(m.TurnOptions()))),
        ["ask 我想退货"],
        world=World(options=PUSH),
    ),
    Case(
        "by hand from the middle of a pause on",
        (zh(1000, "我想退货", lasts=800), Do(2100, m.Configured(PUSH)), Do(5000, m.InputCommitted())),
        ["ask 我想退货"],
    ),
    Case(
        "lost while the text is awaited: asked meanwhile",
        (QUESTION, Lose(3700, 8000)),
        [HEAR, "resumed"],
        world=World(asr_ms=2000),
    ),
    Case(
        "the replica dies while the text is awaited",
        (QUESTION, Lose(3700, 8000, elsewhere=True)),
        ["resumed", HEAR],
        world=World(asr_ms=2000),
    ),
    Case(
        "the replica dies in the greeting",
        (Lose(300, 2000, elsewhere=True),),
        ["say 您好", "resumed", "say 您好"],
        world=World(greeting="您好"),
    ),
    Case(
        "lost while he asked to wait",
        (zh(1000, "我的订单号是，等一下"), Lose(4000, 6000), zh(8000, "12345")),
        ["drop wait 我的订单号是，等一下", "resumed", "ask 我的订单号是12345"],
    ),
    Case(
        "lost in a held answer: it goes on",
        (QUESTION, zh(5000, "嗯"), Lose(5200, 7000)),
        [HEAR, "hold", "resumed", "drop backchannel 嗯", "resume"],
    ),
    Case(
        "silence for minutes, then a question", (zh(280_000, "几点开门"),), ["ask 几点开门"], world=World(until=300_000)
    ),
    Case(
        "zh: 停 while the next is being said",
        (QUESTION, zh(5000, "那换货呢"), zh(8500, "停", lasts=300)),
        [HEAR, "hold", "stop interrupted", "ask 那换货呢", "hold", "drop command 停", "stop asked"],
    ),
    Case(
        "zh: 喂，在吗 while we think: a word at once, and the answer goes on",
        (QUESTION, zh(4000, "喂，在吗？")),
        [HEAR, "hold", "drop backchannel 喂，在吗？", "resume", "acknowledge"],
        world=World(answer_ms=2500),
    ),
    Case(
        "en: hello? while we think",
        (ENGLISH, Say(3500, "Hello?", 400)),
        [LISTEN, "hold", "drop backchannel Hello?", "resume", "acknowledge"],
        world=World(answer_ms=2500),
    ),
    Case(
        "zh: the same question again while we think",
        (QUESTION, zh(3600, "你们的退货政策是什么")),
        [HEAR, "hold", "drop backchannel 你们的退货政策是什么", "resume", "acknowledge"],
        world=World(answer_ms=2500),
    ),
    Case("zh: 喂 while nobody speaks is a turn", (zh(1000, "喂，在吗"),), ["ask 喂，在吗"]),
    Case(
        "zh: 算了 after 等一下: all is forgotten",
        (zh(1000, "我的订单号是，等一下"), zh(6000, "算了")),
        ["drop wait 我的订单号是，等一下", "drop command 算了"],
    ),
    Case(
        "zh: we must not be interrupted, by 等一下 neither",
        (QUESTION, zh(4500, "等一下")),
        [HEAR, "drop wait 等一下"],
        world=World(options=POLITE, answer_lasts=12_000),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case) -> None:
    case.check()


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
