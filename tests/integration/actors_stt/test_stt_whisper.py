"""The real model. Skipped where its files or the recordings are not."""

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from voicehelper.config import Settings
from voicehelper.embedded.models import model_path
from voicehelper.embedded.models.errors import ModelNotPulled
from voicehelper.ports.speech import INPUT_RATE, Recognition

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "speech"
ENGLISH, BROKER, TRADE = (
    "en_librispeech_1995-1837-0001.wav",
    "zh_aishell_BAC009S0724W0121.wav",
    "zh_aishell_BAC009S0764W0121.wav",
)


def pcm(name: str) -> bytes:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


@pytest.fixture(scope="module")
def model():
    try:
        folder = model_path(Settings(), "whisper-base")
    except ModelNotPulled as missing:
        pytest.skip(missing.message)
    from actors.stt.whisper import Whisper

    return Whisper(folder, "whisper-base", expected=("zh", "en"))


def heard(model, audio: bytes, **options):
    (found,) = model.recognize([Recognition(audio, "test", **options)])
    return found


def test_chinese_is_simplified_and_english_is_english(model):
    trade, english = heard(model, pcm(TRADE)), heard(model, pcm(ENGLISH))
    assert trade.text.startswith("甚至出现交易几乎停")
    assert heard(model, pcm(BROKER)).text.strip("《》").startswith("广州市")
    assert english.text.startswith("It was the first great sorrow of his life.")
    assert (trade.language, english.language) == ("zh", "en")
    assert trade.confidence > 0.6


def test_one_batch_of_both_languages_with_silence_between(model):
    batch = [pcm(TRADE), bytes(2 * INPUT_RATE), pcm(ENGLISH)]
    trade, silence, english = model.recognize([Recognition(audio, f"{n}") for n, audio in enumerate(batch)])
    assert "交易几乎" in trade.text
    assert silence.text == ""
    assert "great sorrow" in english.text


def test_the_text_grows_with_the_utterance(model):
    audio = pcm(ENGLISH)
    texts = [heard(model, audio[: int(s * 2 * INPUT_RATE)], final=False, language="en").text for s in (2, 4, 8)]
    assert all("great" in text for text in texts[1:])
    assert len(texts[0]) < len(texts[1]) < len(texts[2])


@pytest.mark.parametrize("name", [TRADE, ENGLISH])
def test_words_have_times_in_order_within_the_audio(model, name):
    audio = pcm(name)
    found = heard(model, audio, words=True)
    assert "".join(word.text for word in found.words).strip() == found.text
    times = [time for word in found.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] <= len(audio) / 2 / INPUT_RATE + 0.1


def test_nothing_is_made_of_noise(model):
    noise = np.random.default_rng(1)
    hum = 0.05 * np.sin(np.arange(4 * INPUT_RATE) * 2 * np.pi * 100 / INPUT_RATE)
    clicks = (noise.random(3 * INPUT_RATE) > 0.9995) * 0.5
    for samples in (noise.normal(0, 0.01, 48_000), noise.normal(0, 0.1, 48_000), hum, clicks, np.zeros(48_000)):
        audio = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        for language in ("", "zh", "en"):
            assert heard(model, audio, language=language).text == ""
    assert heard(model, b"").text == ""


def test_hot_words_are_written_as_they_are_spelt(model):
    audio = pcm(BROKER)
    assert "佛地产" in heard(model, audio, language="zh").text or "房地产" in heard(model, audio, language="zh").text
    assert "房地产" in heard(model, audio, language="zh", hot_words=("房地产中介协会", "广州市")).text


def test_as_many_hot_words_as_fit_leave_room_for_a_short_utterance(model):
    many = tuple(f"产品{n}号" for n in range(200))
    assert "地产" in heard(model, pcm(BROKER)[: 3 * 2 * INPUT_RATE], language="zh", hot_words=many).text


def test_of_many_hot_words_the_first_are_used(model):
    tokens = model._tokens
    few, many = ("星河卡", "北斗路"), ("星河卡", "北斗路", *(f"产品{n}号" for n in range(200)))
    assert len(tokens.context("zh", many)) <= 161
    assert "提到：星河卡、北斗路、产品0号" in tokens.decode(tokens.context("zh", many)[1:])
    assert len(tokens.context("zh", few)) < len(tokens.context("zh", many))
    assert tokens.context("en", ()) == []


async def test_sessions_share_the_model(model):
    from actors.stt.scheduler import BatchedSpeechToText

    stt = BatchedSpeechToText(model)
    audio = pcm(TRADE)
    requests = [Recognition(audio, f"session {n}", language="zh") for n in range(5)]
    found = await asyncio.gather(*(stt.transcribe(request) for request in requests))
    assert {one.text for one in found} == {found[0].text}
    await stt.close()
