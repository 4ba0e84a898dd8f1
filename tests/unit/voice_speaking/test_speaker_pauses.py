"""Silence in the middle of an answer: noticed, filled, and no part of the answer."""

import asyncio

from tests.fakes.virtual_time import virtual_time
from tests.unit.voice_speaking.test_speaker_pace_and_stop import RATE, TEXT, pieces, speaker
from voicehelper.ports.speech import FakeTextToSpeech

BEGIN, REST = "您的订单我看一下。", "它明天到。"


async def tool(wait):
    yield BEGIN
    await asyncio.sleep(wait)
    yield REST


@virtual_time
async def test_the_sink_is_told_when_everything_is_played_and_more_is_to_come():
    mouth, sink, _ = await speaker()
    mouth.say(1, tool(20))
    await asyncio.sleep(60)
    end = sum(clause.samples for clause in sink.clauses[:-1])
    assert sink.marks == [
        ("sounding", 1, 0),
        ("paused", 1, end),
        ("sounding", 1, end),
        ("spoken", 1, sink.samples),
    ]


@virtual_time
async def test_it_is_not_told_too_early_nor_of_the_end():
    mouth, sink, _ = await speaker()
    mouth.say(1, pieces(BEGIN))
    await asyncio.sleep(0.5)
    mouth.say(2, tool(20))
    await asyncio.sleep(1.5)
    mouth.hold()
    await asyncio.sleep(15)
    assert [mark[0] for mark in sink.marks] == ["sounding", "sounding"]
    for turn, text in ((3, pieces(*TEXT, gap=0.02)), (4, pieces(TEXT))):
        mouth.say(turn, text)
        mouth.resume()
        await asyncio.sleep(30)
    assert not [mark for mark in sink.marks if mark[0] == "paused"]


@virtual_time
async def test_a_pause_is_filled_and_the_filler_counts_for_nothing():
    mouth, sink, _ = await speaker()
    mouth.say(1, tool(20))
    await asyncio.sleep(1.0)
    mouth.acknowledge(1, "请稍等。")  # it sounds still
    await asyncio.sleep(4)
    assert sink.marks[-1][0] == "paused"
    before = mouth.heard(1)
    assert before.chars == len(BEGIN)
    mouth.acknowledge(1, "请稍等。")
    await asyncio.sleep(3)
    assert mouth.heard(1) == before
    filler = [clause for clause in sink.clauses if clause.acknowledgement]
    assert [clause.spoken for clause in filler] == ["请稍等。"]
    assert {frame.acknowledgement for frame in sink.frames if frame.sample >= filler[0].start} == {True}
    await asyncio.sleep(30)
    assert mouth.heard(1).whole
    assert mouth.heard(1).chars == len(BEGIN + REST)
    assert [mark[0] for mark in sink.marks].count("sounding") == 2
    assert sink.clauses[-1].start == filler[0].end


@virtual_time
async def test_a_slow_synthesiser_is_a_pause_too():
    mouth, sink, tts = await speaker(FakeTextToSpeech(delay=0.1))
    mouth.say(1, tool(1))
    await asyncio.sleep(0.5)
    tts.delay = 8.0
    await asyncio.sleep(5)
    assert sink.marks[-1][0] == "paused"
    tts.delay = 0.1
    mouth.acknowledge(1, "请稍等。")
    await asyncio.sleep(20)
    assert [clause.acknowledgement for clause in sink.clauses][-2:] == [True, False]
    assert sink.marks[-1] == ("spoken", 1, sink.samples)


@virtual_time
async def test_an_answer_that_goes_on_elsewhere_pauses_there():
    first, sink, tts = await speaker()
    first.say(1, tool(1000))
    await asyncio.sleep(5)
    second, other, _ = await speaker(tts)
    second.restore(sink.clauses, sink.samples)
    second.say(1, tool(10))
    await asyncio.sleep(1)
    assert other.marks == [("paused", 1, sink.samples)]
    await asyncio.sleep(20)
    assert [mark[0] for mark in other.marks] == ["paused", "sounding", "spoken"]
    assert second.heard(1).chars == len(BEGIN + REST)
    assert other.samples == 1.0 * len(REST.rstrip("。") + "。") * 0.2 * RATE
