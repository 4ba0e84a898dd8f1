import asyncio
from dataclasses import replace
from itertools import pairwise
from uuid import uuid4

import pytest

from tests.fakes.virtual_time import virtual_time
from voicehelper.errors import Unavailable
from voicehelper.ports.speech import FakeTextToSpeech
from voicehelper.voice.acknowledgements import OURS, Acknowledgements, intent_of, our_phrases
from voicehelper.voice.speaker_advance import make_in_advance
from voicehelper.voice.speaker_voice import NOBODY, Manner, Sound, SpeakingVoice
from voicehelper.voice.spoken_cache import SpokenCache, SpokenKey

KEY = SpokenKey(uuid4(), "kokoro", "zf", "", 1.0, "zh", "您好")


class FakeStore:
    def __init__(self, delay=0.0, away=False):
        self.kept, self.delay, self.away, self.gets = {}, delay, away, 0

    async def get(self, key):
        self.gets += 1
        await asyncio.sleep(self.delay)
        if self.away:
            raise Unavailable
        return self.kept.get(key.digest())

    async def put(self, key, pcm):
        if self.away:
            raise Unavailable
        self.kept[key.digest()] = pcm


@virtual_time
async def test_the_least_recently_used_goes_first():
    cache = SpokenCache(80)
    keys = [replace(KEY, text=str(number)) for number in range(10)]
    for key in keys:
        await cache.find(keys[0])
        cache.keep(key, b"0123456789")
    assert cache.size == 80
    assert cache.here(keys[0]) is not None
    assert cache.here(keys[1]) is None
    cache.keep(replace(KEY, text="long"), b"0" * 80)
    assert cache.size == 80


@pytest.mark.parametrize(
    "change",
    [{"tenant_id": uuid4()}, {"voice": "zm"}, {"style": "formal"}, {"speed": 1.1}, {"model": "x"}, {"language": "en"}],
)
def test_nothing_is_shared_across_tenants_voices_styles_speeds_models(change):
    cache = SpokenCache(1000)
    cache._keep(KEY, b"x")
    other = replace(KEY, **change)
    assert cache.here(other) is None
    assert other.digest() != KEY.digest()


@virtual_time
async def test_only_what_is_wanted_twice_goes_to_the_store():
    store = FakeStore()
    cache = SpokenCache(1000, store)
    cache.keep(KEY, b"ab")
    await asyncio.sleep(1)
    assert store.kept == {}
    assert await cache.find(KEY) == b"ab"
    await asyncio.sleep(1)
    assert store.kept == {KEY.digest(): b"ab"}
    other = SpokenCache(1000, store)
    assert await other.find(KEY) == b"ab"
    assert other.here(KEY) == b"ab"


@virtual_time
async def test_a_slow_or_absent_store_is_not_waited_for():
    loop = asyncio.get_running_loop()
    slow = FakeStore(delay=10.0)
    for store in (slow, FakeStore(away=True)):
        cache = SpokenCache(1000, store)
        began = loop.time()
        assert await cache.find(KEY) is None
        assert await cache.find(KEY) is None
        assert loop.time() - began < 0.05
        assert store.gets == 1
        cache.keep(KEY, b"ab", frequent=True)
        await asyncio.sleep(6)
        assert await cache.find(KEY) == b"ab"


def test_acknowledgements_suit_the_question_and_do_not_repeat():
    choose = Acknowledgements()
    assert [intent_of(text) for text in ("我要投诉", "订单到哪了", "多少钱", "怎么注册", "你们几点开门")] == [
        "problem", "order", "price", "how", "",
    ]  # fmt: skip
    assert intent_of("How do I return it?") == "how"
    assert intent_of("It arrived broken") == "problem"
    said = [choose("订单到哪了", "zh", 1)[0] for _ in range(4)]
    assert len(set(said[:3])) == 3
    assert all(one != other for one, other in pairwise(said))
    assert choose("订单到哪了", "", 2)[1] == "zh"
    assert choose("where is my order", "en", 1)[1] == "en"
    assert all(phrase in OURS for phrase in said)


@virtual_time
async def test_our_phrases_are_made_once_for_everybody():
    cache, tts = SpokenCache(100_000_000), FakeTextToSpeech()
    info = await tts.describe()
    voices = [SpeakingVoice(tts, info, uuid4(), cache, Manner(speed=1.2)) for _ in range(2)]
    await make_in_advance(voices[0])
    made = len(tts.utterances)
    assert made >= 2 * len(list(our_phrases("en"))) - 4
    await make_in_advance(voices[1])
    assert len(tts.utterances) == made
    phrase, _ = Acknowledgements()("在吗", "zh", 1)
    sound = Sound()
    await voices[1].make(phrase, "zh", sound)
    assert sound.done
    assert sound.pcm
    assert voices[1].key(phrase, "zh").tenant_id == NOBODY
    assert voices[1].key("您的订单", "zh").tenant_id not in (NOBODY, voices[0].key("您的订单", "zh").tenant_id)
