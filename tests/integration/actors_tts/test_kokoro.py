"""The real Kokoro: sound that can be made again anywhere, in pieces, in turns, and stopped."""

import asyncio
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actors.tts.kokoro import RATE, KokoroSpeech
from actors.tts.voices import NAMES
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.errors import InvalidInput, ModelUnavailable, Overloaded, VoiceHelperError
from voicehelper.ports.speech import Utterance

MODEL = "kokoro-82m"
SHORT = Utterance("您好，")
LONG = Utterance("这款手机支持七天无理由退货，运费由我们承担。" * 4)


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return ensure_models(Settings(), [MODEL])[MODEL]
    except VoiceHelperError as missing:
        pytest.skip(f"Kokoro cannot be had here: {missing.message}")


@pytest.fixture(scope="module")
def kokoro(folder: Path) -> Iterator[KokoroSpeech]:
    made = KokoroSpeech(folder, model=MODEL, threads=2, parallel=2, queue=2)
    yield made
    made.close()


async def said(kokoro: KokoroSpeech, utterance: Utterance) -> bytes:
    return b"".join([piece async for piece in kokoro.synthesize(utterance)])


async def test_every_voice_is_listed_and_no_style_is_claimed(kokoro):
    info = await kokoro.describe()
    assert [voice.name for voice in info.voices] == list(NAMES)
    assert (info.sample_rate, info.styles, info.deterministic) == (RATE, (), True)


async def test_sound_begins_at_once_and_is_as_loud_as_ever(kokoro):
    for utterance in (SHORT, Utterance("Let me check that for you.", "en"), Utterance("好的。", voice="zm_yunxi")):
        samples = np.frombuffer(await said(kokoro, utterance), "<i2").astype(float) / 32768
        first = np.flatnonzero(np.abs(samples) > 0.02)[0]
        assert first < 0.12 * RATE
        loud = samples[np.abs(samples) > 0.02]
        assert 0.07 < np.sqrt(np.mean(loud**2)) < 0.2


async def test_the_same_samples_whatever_runs_beside_it(kokoro):
    alone = await said(kokoro, SHORT)
    together = await asyncio.gather(*(said(kokoro, one) for one in (SHORT, LONG, SHORT)))
    assert together[0] == together[2] == alone
    assert kokoro.say(SHORT) == alone


@pytest.mark.slow
async def test_the_same_samples_in_another_process_with_other_threads(kokoro, folder):
    code = (
        "import sys, hashlib; from pathlib import Path; from actors.tts.kokoro import KokoroSpeech;"
        "from voicehelper.ports.speech import Utterance;"
        "k = KokoroSpeech(Path(sys.argv[1]), model='kokoro-82m', threads=1);"
        "print(hashlib.sha256(k.say(Utterance(sys.argv[2]))).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(folder), LONG.text]
    other = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert other.stdout.split()[-1] == hashlib.sha256(await said(kokoro, LONG)).hexdigest()


async def test_styles_and_speed_are_slower_and_faster(kokoro):
    text = "退款会原路返回到您的银行卡。"
    lengths = [len(await said(kokoro, Utterance(text, style=style))) for style in ("friendly", "", "apologetic")]
    assert lengths == sorted(lengths)
    fast, normal, slow = [len(await said(kokoro, Utterance(text, speed=speed))) for speed in (1.5, 1.0, 0.7)]
    assert fast < normal < slow


async def test_a_long_text_comes_piece_by_piece(kokoro):
    assert len([piece async for piece in kokoro.synthesize(LONG)]) == 8


async def test_cancelling_stops_the_model_and_frees_its_place(kokoro):
    endless = Utterance("这款手机支持七天无理由退货而且运费由我们承担您可以放心购买使用" * 2)
    task = asyncio.create_task(said(kokoro, endless))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 1
    assert len(await said(kokoro, SHORT)) > 0


async def test_beyond_the_queue_it_is_overloaded(kokoro):
    speaking = [asyncio.create_task(said(kokoro, LONG)) for _ in range(4)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await said(kokoro, SHORT)
    for task in speaking:
        task.cancel()
    await asyncio.gather(*speaking, return_exceptions=True)
    assert await said(kokoro, SHORT)


@pytest.mark.parametrize(
    "wrong", [Utterance("您好", voice="nobody"), Utterance("您好", style="angry"), Utterance("好" * 9000)]
)
async def test_what_it_cannot_do_it_says(kokoro, wrong):
    with pytest.raises(InvalidInput):
        await said(kokoro, wrong)


async def test_nothing_to_say_is_no_sound(kokoro):
    assert await said(kokoro, Utterance("。。。")) == b""


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ModelUnavailable):
        KokoroSpeech(tmp_path, model=MODEL)
