"""Silero and Smart Turn themselves, on the recordings."""

import asyncio
import itertools
import wave
from pathlib import Path

import numpy as np
import pytest

from actors.turn import SmartTurn, build_turn_detector
from actors.vad import build_voice_activity
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.speech import VoiceActivityDetector
from voicehelper.voice.ear import Ear
from voicehelper.voice.levels import pcm_of
from voicehelper.voice.model import SpeechStarted

SPEECH = Path(__file__).resolve().parents[4] / "shared" / "data" / "speech"
ENGLISH, CHINESE, OTHER = (
    "en_librispeech_1995-1837-0001.wav",
    "zh_aishell_BAC009S0724W0121.wav",
    "zh_aishell_BAC009S0764W0121.wav",
)


@pytest.fixture(scope="module")
def settings() -> Settings:
    try:
        ensure_models(Settings(), ["silero-vad", "smart-turn"])
    except VoiceHelperError as error:
        pytest.skip(f"the models cannot be fetched: {error}")
    return Settings()


@pytest.fixture(scope="module")
def detector(settings: Settings) -> VoiceActivityDetector:
    return build_voice_activity(settings)


@pytest.fixture(scope="module")
def turns(settings: Settings):
    model = build_turn_detector(Settings(voice={"turn_model": "smart-turn"}))
    assert isinstance(model, SmartTurn)
    yield model
    model.close()


def recording(name: str) -> bytes:
    if not SPEECH.is_dir():
        pytest.skip(f"{SPEECH} is not there")
    with wave.open(str(SPEECH / name)) as file:
        return file.readframes(file.getnframes())


def spans(detector: VoiceActivityDetector, samples: np.ndarray) -> list[tuple[str, float]]:
    ear, pcm = Ear(detector.listen()), pcm_of(samples.astype(np.float32))
    told = [event for at in range(0, len(pcm), 640) for event in ear.hear(pcm[at : at + 640])]
    return [("began" if isinstance(event, SpeechStarted) else "ended", event.sample / 16000) for event in told]


def test_frames_at_once_are_frames_one_by_one(detector: VoiceActivityDetector):
    pcm = recording(CHINESE)
    one, many = detector.listen(), detector.listen()
    single = [odd for at in range(0, len(pcm) // 1024 * 1024, 1024) for odd in one.probabilities(pcm[at : at + 1024])]
    assert np.allclose(single, many.probabilities(pcm), atol=1e-5)
    assert many.probabilities(b"") == []
    assert many.probabilities(bytes(1023)) == []


def test_sessions_do_not_hear_each_other(detector: VoiceActivityDetector):
    pcm, noise = recording(CHINESE), np.random.default_rng(1).integers(-9000, 9000, 512, "<i2").tobytes()
    alone, beside, other = detector.listen(), detector.listen(), detector.listen()
    for at in range(0, 100 * 1024, 1024):
        other.probabilities(noise)
        assert beside.probabilities(pcm[at : at + 1024]) == alone.probabilities(pcm[at : at + 1024])


@pytest.mark.parametrize("gain_db", [20, 0, -20, -30, -40])
@pytest.mark.parametrize("name", [ENGLISH, CHINESE, OTHER])
def test_speech_is_heard_loud_and_quiet(detector: VoiceActivityDetector, name: str, gain_db: int):
    speech = np.frombuffer(recording(name), "<i2").astype(float) * 10 ** (gain_db / 20)
    quiet = np.random.default_rng(3).normal(0, 1, 16000)
    told = spans(detector, np.concatenate([quiet, speech, quiet]))
    assert 1.0 < told[0][1] < 1.7
    assert told[-1][0] == "ended"
    assert abs(told[-1][1] - (1.0 + len(speech) / 16000)) < 1.3
    gaps = [after[1] - before[1] for before, after in itertools.pairwise(told) if before[0] == "ended"]
    assert max(gaps, default=0.0) < 0.45


@pytest.mark.parametrize("disturbance", ["offset", "hum", "hiss"])
def test_speech_is_heard_through_disturbances(detector: VoiceActivityDetector, disturbance: str):
    speech = np.frombuffer(recording(ENGLISH), "<i2").astype(float)
    whole = np.concatenate([np.zeros(16000), speech, np.zeros(16000)])
    time = np.arange(len(whole)) / 16000
    added = {
        "offset": 6000.0,
        "hum": 2000 * np.sin(2 * np.pi * 50 * time),
        "hiss": np.random.default_rng(5).normal(0, np.std(speech) * 0.3, len(whole)),
    }[disturbance]
    told = spans(detector, whole + added)
    assert [kind for kind, _ in told] == ["began", "ended"] * (len(told) // 2)
    assert len(told) <= 8
    assert 1.0 < told[0][1] < 1.3
    assert 9.3 < told[-1][1] < 9.9


@pytest.mark.parametrize("level_db", [-60, -45, -30, -15])
@pytest.mark.parametrize("colour", ["white", "hum", "clicks"])
def test_noise_is_no_speech(detector: VoiceActivityDetector, colour: str, level_db: int):
    dice, size = np.random.default_rng(9), 16000 * 20
    noise = {
        "white": dice.normal(0, 1, size),
        "hum": np.sin(np.arange(size) * 2 * np.pi * 100 / 16000),
        "clicks": np.where(dice.random(size) < 0.0005, 30.0, 0.0),
    }[colour]
    told = spans(detector, noise / np.std(noise) * 32768 * 10 ** (level_db / 20))
    assert sum(1 for kind, _ in told if kind == "began") <= 1


def test_smart_turn_gives_pipecats_probabilities(turns: SmartTurn):
    """Of `LocalSmartTurnAnalyzerV3._predict_endpoint` of pipecat-ai 1.14.0, for the same recordings."""
    for name, expected in ((ENGLISH, 0.12675), (CHINESE, 0.98933), (OTHER, 0.98846)):
        assert turns.judge(recording(name)) == pytest.approx(expected, abs=0.002)


async def test_judgements_queue_and_do_not_pile_up(turns: SmartTurn):
    pcm = recording(ENGLISH)
    odds = await asyncio.gather(*(turns.finished(pcm) for _ in range(12)))
    assert sum(odd == 0.5 for odd in odds) == 4
    assert len(set(odds)) == 2
    assert await turns.finished(b"") == 0.5
    assert 0.0 <= await turns.finished(b"\x01") <= 1.0
    assert 0.0 <= await turns.finished(bytes(3)) <= 1.0
