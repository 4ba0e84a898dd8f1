"""Records the talks of `tests/data/voice_journals` anew: `python -m tests.unit.voice_core.record`. Only for a change of
the core that is meant; what differs is then to be looked at in the diff."""

from dataclasses import replace
from pathlib import Path

from tests.unit.voice_core.talk import ENGLISH, QUESTION, Do, Lose, Say, Talk, World, zh
from voicehelper.voice import model as m
from voicehelper.voice.journal import dump

FOLDER = Path(__file__).parents[2] / "data" / "voice_journals"

TALKS = {
    "zh_shop": Talk(
        (
            zh(1200, "你好，我想问一下"),
            zh(4300, "你们的退货政策是什么？", sounds=0.92),
            zh(7900, "嗯"),
            zh(9300, "对对"),
            zh(11_000, "那换货呢", sounds=0.8),
            zh(13_000, "等一下"),
            zh(17_500, "我的订单号是138"),
            zh(20_600, "0012"),
            Say(23_000, "", 300),
            zh(24_500, "别说了。"),
            zh(27_000, "谢谢"),
        ),
        World(asr_ms=230, answer_ms=900, greeting="您好，请问有什么可以帮您？", until=36_000),
    ),
    "en_support": Talk(
        (
            ENGLISH,
            Say(4800, "Uh-huh.", 400),
            Say(6000, "Wait, no, I mean", 1100, sounds=0.2),
            Say(8200, " exchanges.", 700, sounds=0.9),
            Say(13_000, "How long does it take", 1200, sounds=0.4),
            Say(14_900, " to London?", 600),
            Lose(16_500, 19_000),
            Say(21_000, "Okay.", 350),
            Say(24_000, "Stop.", 300),
        ),
        World(asr_ms=180, answer_ms=700, answer_text="Refunds take seven days", until=30_000),
    ),
    "zh_replica_dies": Talk(
        (QUESTION, Lose(3600, 6000, elsewhere=True), zh(9000, "不对，是换货"), Lose(9500, 12_000, elsewhere=True)),
        World(answer_ms=1900, until=25_000),
    ),
    "push_to_talk": Talk(
        (
            zh(1000, "我想退货", lasts=800),
            zh(3200, "可以吗", lasts=600),
            Do(4000, m.InputCommitted()),
            Do(6500, m.Interrupted()),
            zh(8000, "算了", lasts=400),
            Do(8500, m.InputCleared()),
            Do(9500, m.TextTyped("运费多少")),
        ),
        World(options=replace(m.TurnOptions(), automatic=False), answer_ms=1800, until=20_000),
    ),
}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, talk in TALKS.items():
        talk.run()
        (FOLDER / f"{name}.jsonl").write_text("\n".join(dump(talk.world.options, talk.journal)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
