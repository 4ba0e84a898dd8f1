import asyncio
from uuid import uuid4

from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.speech import FakeTextToSpeech
from voicehelper.voice.speaker import Speaker, SpeakingVoice
from voicehelper.voice.spoken_cache import SpokenCache

RATE = 24_000
TENANT = uuid4()


class Recorder:
    def __init__(self):
        self.frames, self.clauses, self.marks, self.times = [], [], [], []

    async def frame(self, frame):
        self.frames.append(frame)
        self.times.append(asyncio.get_running_loop().time())

    async def clause(self, clause):
        await asyncio.sleep(0.001)
        self.clauses.append(clause)

    async def sounding(self, turn, sample):
        self.marks.append(("sounding", turn, sample))

    async def paused(self, turn, end):
        self.marks.append(("paused", turn, end))

    async def spoken(self, turn, end):
        self.marks.append(("spoken", turn, end))

    async def unspoken(self, turn, error):
        self.marks.append(("unspoken", turn, error.code))

    @property
    def samples(self):
        return sum(len(frame.pcm) // 2 for frame in self.frames)


async def speaker(tts=None, cache=None, **options):
    tts = tts or FakeTextToSpeech()
    sink = Recorder()
    return Speaker(SpeakingVoice(tts, await tts.describe(), TENANT, cache), sink, **options), sink, tts


async def pieces(*texts, gap=0.0):
    for text in texts:
        if gap:
            await asyncio.sleep(gap)
        yield text


TEXT = "您好，退货需要在签收后七天内申请。运费由买家承担，质量问题由我们承担。谢谢您的理解。"


@virtual_time
async def test_everything_is_said_in_order_and_never_more_than_the_lead_ahead():
    mouth, sink, tts = await speaker()
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(0.2)
    assert sink.samples <= 1.2 * RATE
    await asyncio.sleep(60)
    assert sink.marks[0] == ("sounding", 1, 0)
    assert sink.marks[-1] == ("spoken", 1, sink.samples)
    assert [frame.sample for frame in sink.frames][:3] == [0, 1440, 2880]
    assert "".join(clause.text for clause in sink.clauses) == TEXT
    assert tts.utterances[0].text == "您好，"
    for frame, time in zip(sink.frames, sink.times, strict=True):
        assert frame.sample + len(frame.pcm) // 2 - RATE <= time * RATE + 1500
    assert mouth.heard(1).whole
    assert mouth.heard(1).chars == len(TEXT)


@virtual_time
async def test_no_gap_between_clauses_while_the_model_is_fast_enough():
    mouth, sink, _ = await speaker(FakeTextToSpeech(delay=0.5))
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(60)
    begin = sink.times[0]
    for frame, time in zip(sink.frames, sink.times, strict=True):
        assert time <= begin + max(frame.sample / RATE, 0.6)


@virtual_time
async def test_after_stop_nothing_is_handed_over():
    mouth, sink, _ = await speaker(FakeTextToSpeech(delay=0.1))
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(2.0)
    mouth.played(int(1.5 * RATE))
    cut = mouth.stop()
    count = len(sink.frames)
    assert cut == sink.samples == mouth.position
    await asyncio.sleep(20)
    assert len(sink.frames) == count
    heard = mouth.heard(1)
    assert not heard.whole
    assert heard.samples == int(1.5 * RATE)
    assert 0 < heard.chars < 12
    mouth.say(2, pieces("好的，没问题。"))
    await asyncio.sleep(5)
    assert sink.frames[count].sample == cut
    assert sink.frames[count].generation == 1
    mouth.played(mouth.position)
    assert mouth.heard(1) == heard
    assert mouth.heard(2).whole


@virtual_time
async def test_a_report_that_comes_after_the_stop_counts_for_what_was_stopped():
    mouth, _, _ = await speaker()
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(2.0)
    mouth.played(RATE)
    mouth.stop()
    mouth.played(int(1.2 * RATE))
    assert mouth.heard(1).samples == int(1.2 * RATE)


@virtual_time
async def test_stop_within_a_callback_of_the_sink():
    mouth, sink, _ = await speaker()

    async def sounding(turn, sample):
        mouth.stop()

    sink.sounding = sounding
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(5)
    assert sink.frames == []


@virtual_time
async def test_hold_and_resume_lose_nothing():
    mouth, sink, _ = await speaker()
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(1.0)
    mouth.hold()
    count = len(sink.frames)
    await asyncio.sleep(30)
    assert len(sink.frames) == count
    mouth.resume()
    await asyncio.sleep(30)
    samples = [frame.sample for frame in sink.frames]
    assert samples == sorted(set(samples))
    assert sink.marks[-1] == ("spoken", 1, sink.samples)
    assert sink.times[-1] < 31 + sink.samples / RATE


@virtual_time
async def test_a_client_that_reports_and_stalls_is_not_overrun():
    mouth, sink, _ = await speaker()
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(0.1)
    mouth.played(0)
    await asyncio.sleep(30)
    assert sink.samples <= 1.5 * RATE + 1440
    mouth.played(RATE)
    await asyncio.sleep(0.1)
    assert sink.samples > 1.9 * RATE


@virtual_time
async def test_an_acknowledgement_fills_silence_only():
    mouth, sink, _ = await speaker()
    mouth.say(1, pieces("好的，我查到了。", gap=3.0))
    await asyncio.sleep(1.0)
    mouth.acknowledge(1, "请稍等")
    await asyncio.sleep(10)
    assert sink.frames[0].acknowledgement
    assert sink.marks[0][0] == "sounding"
    assert sink.marks[0][2] == sum(len(f.pcm) // 2 for f in sink.frames if f.acknowledgement)
    assert mouth.heard(1).whole
    before = len(sink.frames)
    mouth.acknowledge(1, "请稍等")
    await asyncio.sleep(2)
    assert len(sink.frames) == before


@virtual_time
async def test_an_acknowledgement_gives_way_to_an_answer_that_is_there_first():
    mouth, sink, _ = await speaker(FakeTextToSpeech(delay=0.5))
    mouth.acknowledge(1, "请稍等")
    mouth.say(1, pieces("好。"))
    await asyncio.sleep(10)
    assert sum(clause.acknowledgement for clause in sink.clauses) <= 1
    assert sink.marks[-1][0] == "spoken"


class BrokenTts(FakeTextToSpeech):
    def __init__(self, failures):
        super().__init__()
        self.failures = failures

    async def synthesize(self, utterance):
        if self.failures:
            self.failures -= 1
            raise ModelUnavailable
        async for pcm in super().synthesize(utterance):
            yield pcm


@virtual_time
async def test_a_synthesiser_that_is_gone_ends_the_turn_with_its_error():
    mouth, sink, _ = await speaker(BrokenTts(1000))
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(60)
    assert sink.marks == [("unspoken", 1, ModelUnavailable.code)]


@virtual_time
async def test_a_synthesiser_that_is_back_in_a_quarter_of_a_minute_is_asked_again():
    mouth, sink, _ = await speaker(BrokenTts(50))
    mouth.say(1, pieces(*TEXT))
    await asyncio.sleep(60)
    assert sink.marks[-1][0] == "spoken"


class DyingTts(FakeTextToSpeech):
    """Dies in the middle of every clause, twice: the second time further on."""

    def __init__(self):
        super().__init__()
        self.lives = {}

    async def synthesize(self, utterance):
        life = self.lives[utterance.text] = self.lives.get(utterance.text, 0) + 1
        given = 0
        async for pcm in super().synthesize(utterance):
            if life <= 2 and given + len(pcm) > 4_000 * life:
                yield pcm[: 4_000 * life - given]
                raise ModelUnavailable
            given += len(pcm)
            yield pcm


@virtual_time
async def test_a_clause_whose_synthesiser_dies_goes_on_at_the_same_sample():
    heard = []
    for tts in (FakeTextToSpeech(), DyingTts()):
        mouth, sink, _ = await speaker(tts)
        mouth.say(1, pieces(*TEXT))
        await asyncio.sleep(120)
        assert sink.marks[-1][0] == "spoken"
        heard.append(b"".join(frame.pcm for frame in sink.frames))
    assert heard[0] == heard[1]


@virtual_time
async def test_a_text_that_breaks_off_is_said_as_far_as_it_goes():
    async def text():
        yield "您好，请问"
        raise ModelUnavailable

    mouth, sink, _ = await speaker()
    mouth.say(1, text())
    await asyncio.sleep(10)
    assert "".join(clause.text for clause in sink.clauses) == "您好，请问"
    assert sink.marks[-1] == ("unspoken", 1, ModelUnavailable.code)


@virtual_time
async def test_a_text_that_stalls_is_said_as_far_as_it_sounds_natural():
    async def text():
        yield "您好，退货需要在签收后七天内申请，运费由"
        await asyncio.sleep(10)
        yield "买家承担。"

    mouth, sink, _ = await speaker()
    mouth.say(1, text())
    await asyncio.sleep(8)
    assert "".join(clause.text for clause in sink.clauses) == "您好，退货需要在签收后七天内申请，"
    await asyncio.sleep(20)
    assert sink.marks[-1][0] == "spoken"


@virtual_time
async def test_what_was_said_before_comes_from_the_cache():
    cache = SpokenCache(10_000_000)
    mouth, _, tts = await speaker(cache=cache)
    mouth.say(1, pieces(TEXT))
    await asyncio.sleep(30)
    mouth.say(2, pieces(TEXT))
    count = len(tts.utterances)
    await asyncio.sleep(30)
    assert len(tts.utterances) == count
    assert mouth.heard(2).whole


@virtual_time
async def test_a_session_goes_on_elsewhere_at_the_sample():
    first, sink, _ = await speaker()
    first.say(7, pieces(*TEXT))
    await asyncio.sleep(4.03)
    played = int(4.0 * RATE) + 1
    second, more, _ = await speaker()
    second.restore(list(sink.clauses), played)
    second.say(7, pieces(*TEXT))
    await asyncio.sleep(60)
    reference, whole, _ = await speaker()
    reference.say(7, pieces(*TEXT))
    await asyncio.sleep(60)
    joined = b"".join(frame.pcm for frame in sink.frames)[: played * 2] + b"".join(frame.pcm for frame in more.frames)
    assert joined == b"".join(frame.pcm for frame in whole.frames)
    assert more.frames[0].sample == played
    assert more.marks[-1] == ("spoken", 7, whole.samples)
    assert second.heard(7).chars == len(TEXT)


@virtual_time
async def test_an_answer_written_anew_is_not_begun_anew():
    first, sink, _ = await speaker()
    first.say(7, pieces(*TEXT))
    await asyncio.sleep(4.0)
    second, more, _ = await speaker()
    second.restore(list(sink.clauses), int(4.0 * RATE))
    second.say(7, pieces(*"您好，退货要在签收之后七天内申请。发票请在订单页下载。谢谢您的理解。"))
    await asyncio.sleep(60)
    said = [clause.text for clause in more.clauses]
    assert "退货要在签收之后七天内申请。" not in "".join(said)
    assert "发票请在订单页下载。" in said
