"""Running ahead while the user still speaks, and the figures of a turn."""

from tests.unit.voice_core.talk import QUESTION, Do, Say, Talk, World, zh
from voicehelper.voice import model as m


def test_runs_ahead_before_the_turn_is_over() -> None:
    talk = Talk((QUESTION,)).run()
    asked = next(at for at, line in zip(talk.at, talk.log, strict=True) if line.startswith("ask"))
    assert talk.prepared
    assert talk.prepared_at[0] < asked - 100


def test_runs_ahead_once_for_what_differs_by_a_mark() -> None:
    talk = Talk((zh(1000, "明天北京的天气怎么样", lasts=4000),)).run()
    assert 1 <= len(talk.prepared) <= 4
    assert talk.prepared[-1].startswith("明天北京的天气")


def test_runs_ahead_with_the_whole_of_a_correction() -> None:
    talk = Talk((zh(1000, "明天北京天气怎么样"), zh(3100, "不对，是上海"))).run()
    assert "明天北京天气怎么样，不对，是上海" in talk.prepared


def test_does_not_run_ahead_for_noise_and_back_channels() -> None:
    talk = Talk((zh(1000, "嗯"), Say(3000, "", 900), zh(5000, "等一下"), zh(8000, "谢谢观看"))).run()
    assert talk.prepared == []


def test_times_of_a_turn() -> None:
    talk = Talk((QUESTION,)).run()
    (times,) = talk.times
    assert times.turn == 1
    assert times.asr_ms == 150
    assert times.end_of_turn_ms == talk.finals[0].waited_ms
    assert times.first_sound_ms == times.end_of_turn_ms + talk.world.answer_ms
    assert not times.acknowledged


def test_acknowledgements_do_not_count() -> None:
    talk = Talk((QUESTION,), World(answer_ms=4000)).run()
    (times,) = talk.times
    assert times.acknowledged
    assert (times.first_sound_ms or 0) > 4000


def test_times_of_a_typed_turn() -> None:
    talk = Talk((Do(1000, m.TextTyped("运费多少")),)).run()
    (times,) = talk.times
    assert times.end_of_turn_ms is None
    assert times.first_sound_ms == 600


def test_the_sound_is_held_within_150_ms_of_speech() -> None:
    """The client is told at 120 ms; its own part and the way there have the rest."""
    talk = Talk((QUESTION, zh(5000, "那换货呢"))).run()
    assert talk.at[talk.log.index("hold")] - 5000 <= 120


def test_partials_are_not_asked_for_faster_than_they_come() -> None:
    talk = Talk((zh(1000, "这个" * 20, lasts=8000),), World(asr_ms=1500)).run()
    asked = [effect for effects in talk.effects for effect in effects if isinstance(effect, m.Transcribe)]
    assert 3 <= len(asked) <= 8
