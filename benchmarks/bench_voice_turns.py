"""When is a turn over? False cut-offs and delay of: the detector alone; with Smart Turn; with the words too.

    python -m benchmarks.bench_voice_turns [--every 1]        2: every other sentence

Callers are Kokoro's voices (kept in `.bench/voice-turns`), saying sentences with a comma in the middle: cut there, they
are unfinished. The words are those really said, so this is the best that words can do; the sound is
heard by the real ear. Pauses are drawn (log-normal) so that 51 % last longer than 300 ms and 16 % longer than 600 ms,
which is what the detector alone cuts off on Chinese in livekit/eot-bench. A cut-off is a pause that is longer than the
silence the policy waits for. The real recordings are cut in the quiet between two syllables.
"""

import argparse
import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from actors.tts.registry import build_text_to_speech
from actors.turn import SmartTurn, build_turn_detector
from actors.vad import build_voice_activity
from benchmarks.report import Aim, aims, at_most, table
from benchmarks.turn_sentences import CHINESE, ENGLISH
from benchmarks.voice_peers.recording import SPEECH, recording
from voicehelper.config import Settings, VoiceSettings
from voicehelper.embedded.models import ensure_models
from voicehelper.ports.speech import INPUT_RATE, TextToSpeech, Utterance, VoiceActivityDetector
from voicehelper.voice.ear import Ear
from voicehelper.voice.levels import Samples, pcm_of
from voicehelper.voice.model import SpeechStarted, TurnOptions
from voicehelper.voice.phrases import kind
from voicehelper.voice.resample import resample
from voicehelper.voice.turn_taking import silence_ms

KEPT = Path(__file__).resolve().parents[1] / ".bench" / "voice-turns"
VOICES = {"zh": ("zf_xiaoxiao",), "en": ("af_heart",)}
PRE_ROLL = INPUT_RATE // 4
PAUSES = 99
SILENCES = (300, 600)


@dataclass(frozen=True)
class Point:
    """A place where somebody is silent.

    Attributes:
        set: where it is from.
        text: what he has said so far; empty for a recording whose words are not known.
        finished: whether he has said all.
        probability: what Smart Turn makes of it.
        told_ms: how long after the sound ended the ear tells of the silence.
    """

    set: str
    text: str
    finished: bool
    probability: float
    told_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    every = parser.parse_args().every
    settings = Settings(voice=VoiceSettings(turn_model="smart-turn"))
    ensure_models(settings, ["silero-vad", "smart-turn"])
    print(f"Load average {os.getloadavg()[0]:.1f}\n")
    print(table(["cost", "figure"], cost(settings)), "\n")
    points = asyncio.run(_all_points(settings, every))
    print(table(HEAD_SMART, _smart_rows(points)), "\n")
    said = [point for point in points if point.text]
    rows = [row for silence in SILENCES for row in _policy_rows(said, silence)]
    print(table(HEAD_POLICY, rows))
    print(aims(*_aims(said)))


# -- the material


async def _all_points(settings: Settings, every: int) -> list[Point]:
    vad, turns = build_voice_activity(settings), build_turn_detector(settings)
    assert isinstance(turns, SmartTurn)
    found = [_point(vad, turns, *cut) for cut in _cuts(vad)] if SPEECH.is_dir() else []
    try:
        ensure_models(settings, [settings.tts.model])
        voice = build_text_to_speech(settings)
    except Exception as error:  # noqa: BLE001 - without a voice there are still the recordings
        print(f"No synthesised sentences: {error}\n")
        return found
    for language, sentences in (("zh", CHINESE), ("en", ENGLISH)):
        for before, after in sentences[::every]:
            comma, gap, stop = ("，", "", "。") if language == "zh" else (",", " ", ".")
            for name in VOICES[language]:
                whole = await _spoken(voice, before + comma + gap + after + stop, language, name)
                first = _first_part(whole, len(before) / len(before + after))
                found.append(_point(vad, turns, f"Kokoro {language}", before, False, first))
                found.append(_point(vad, turns, f"Kokoro {language}", before + gap + after, True, whole))
    return found


async def _spoken(voice: TextToSpeech, text: str, language: str, name: str) -> bytes:
    key = hashlib.sha256(f"{text} {language} {name}".encode()).hexdigest()[:24]
    file = KEPT / f"{key}.pcm"
    if not file.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        info = await voice.describe()
        made = b"".join([piece async for piece in voice.synthesize(Utterance(text, language, name))])
        file.write_bytes(resample(made, info.sample_rate, INPUT_RATE))
    return file.read_bytes()


def _first_part(pcm: bytes, share: float) -> bytes:
    """Up to the pause, which lies about where its share of the letters ends."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    return pcm_of(samples[: _quietest(samples, int(len(samples) * share), int(len(samples) * 0.2))])


def _quietest(samples: Samples, around: int, reach: int) -> int:
    window = INPUT_RATE // 20
    levels = np.convolve(samples**2, np.ones(window) / window, "same")
    first = max(around - reach, window)
    return first + int(np.argmin(levels[first : min(around + reach, len(samples) - window)]))


def _cuts(vad: VoiceActivityDetector) -> Iterator[tuple[str, str, bool, bytes]]:
    """Each recording whole, and its beginnings up to the quiet between two syllables."""
    for path in sorted(SPEECH.glob("*.wav")):
        samples, name = recording(path.name), path.name[:2] + " recording"
        yield name, "", True, pcm_of(samples)
        for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
            cut = _quietest(samples, int(len(samples) * share), INPUT_RATE // 8)
            yield name, "", False, pcm_of(samples[:cut])


def _point(vad: VoiceActivityDetector, turns: SmartTurn, set_: str, text: str, finished: bool, pcm: bytes) -> Point:
    """What is known at the moment the ear tells of the last pause."""
    noise = np.random.default_rng(1)
    sound = np.frombuffer(pcm, "<i2").astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    end = int(loud[-1]) + 1 + INPUT_RATE // 2
    whole = np.concatenate([np.zeros(INPUT_RATE // 2), sound[: end - INPUT_RATE // 2], np.zeros(INPUT_RATE)])
    quiet = pcm_of((whole + noise.normal(0, 3, len(whole))).astype(np.float32))
    ear = Ear(vad.listen())
    told = [event for at in range(0, len(quiet), 640) for event in ear.hear(quiet[at : at + 640])]
    start = next(event.sample for event in told if isinstance(event, SpeechStarted))
    stop = told[-1]
    heard = ear.audio(max(start - PRE_ROLL, 0), stop.heard)
    return Point(set_, text, finished, turns.judge(heard), (stop.heard - end) / INPUT_RATE * 1000)


# -- the policies: point -> milliseconds of silence waited for


Policy = Callable[[Point, TurnOptions], int]


def _detector_alone(_point: Point, options: TurnOptions) -> int:
    return options.min_silence_ms


def _with_sound(point: Point, options: TurnOptions) -> int:
    return options.min_silence_ms if point.probability >= 0.5 else options.max_silence_ms


def _with_words(point: Point, options: TurnOptions) -> int:
    return silence_ms(options, kind(point.text), None)


def _with_both(point: Point, options: TurnOptions) -> int:
    return silence_ms(options, kind(point.text), point.probability)


POLICIES: dict[str, Policy] = {
    "detector alone": _detector_alone,
    "+ Smart Turn": _with_sound,
    "+ words (ours)": _with_words,
    "+ words and Smart Turn": _with_both,
}
HEAD_POLICY = [
    "least silence",
    "policy",
    "false cut-offs zh",
    "en",
    "silence after the end, ms: mean zh",
    "en",
    "p95",
    "cut-offs of mere waiting as long zh",
    "en",
]


def _policy_rows(points: list[Point], silence: int) -> list[list[str]]:
    rows = []
    for name, policy in POLICIES.items():
        cuts = [cut_offs(points, policy, silence, language) for language in ("zh", "en")]
        waits = [delays(points, policy, silence, language) for language in ("zh", "en")]
        means = [float(np.mean(wait)) for wait in waits]
        plain = [float(np.mean(pauses_ms() > mean)) for mean in means]
        p95 = f"{np.percentile(waits[0] + waits[1], 95):.0f}"
        shown = [[f"{100 * share:.1f} %" for share in shares] for shares in (cuts, plain)]
        rows.append([f"{silence} ms", name, *shown[0], *(f"{mean:.0f}" for mean in means), p95, *shown[1]])
    return rows


def cut_offs(points: list[Point], policy: Policy, silence: int, language: str) -> float:
    """Share of pauses that end a turn which was not over."""
    options = TurnOptions(min_silence_ms=silence)
    waits = np.array(
        [policy(point, options) for point in points if not point.finished and point.set.endswith(language)]
    )
    return float(np.mean(pauses_ms()[None, :] > waits[:, None]))


def delays(points: list[Point], policy: Policy, silence: int, language: str) -> list[int]:
    """Silence after each turn that was over."""
    options = TurnOptions(min_silence_ms=silence)
    return [policy(point, options) for point in points if point.finished and point.set.endswith(language)]


def pauses_ms() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The pauses: quantiles of a log-normal through (300 ms, 48.8 %) and (600 ms, 83.7 %)."""
    normal = NormalDist()
    low, high = normal.inv_cdf(1 - 0.512), normal.inv_cdf(1 - 0.163)
    spread = np.log(600 / 300) / (high - low)
    middle = np.log(300) - spread * low
    return np.exp([middle + spread * normal.inv_cdf((n + 0.5) / PAUSES) for n in range(PAUSES)])


HEAD_SMART = [
    "Smart Turn hears",
    "points",
    "finished ones as finished",
    "unfinished ones as finished",
    "pause told after",
]


def _smart_rows(points: list[Point]) -> Iterator[list[str]]:
    for name in dict.fromkeys(point.set for point in points):
        chosen = [point for point in points if point.set == name]
        shares = [
            np.mean([point.probability >= 0.5 for point in chosen if point.finished is finished])
            for finished in (True, False)
        ]
        told = np.median([point.told_ms for point in chosen])
        yield [name, str(len(chosen)), *(f"{100 * share:.0f} %" for share in shares), f"{told:.0f} ms"]


def _aims(points: list[Point]) -> list[Aim]:
    published = {300: 42.9, 600: 13.2}
    return [
        at_most(
            f"Chinese false cut-offs at {silence} ms, %; on other recordings than the aim's"
            f" (Smart Turn on livekit/eot-bench: {limit})",
            limit,
            100 * cut_offs(points, _with_words, silence, "zh"),
            "%",
        )
        for silence, limit in published.items()
        if points
    ]


# -- what it costs


def cost(settings: Settings) -> list[list[str]]:
    """Of the ear and of a judgement."""
    pcm = np.random.default_rng(2).normal(0, 2000, 10 * INPUT_RATE).astype("<i2").tobytes()
    detector = build_voice_activity(settings)
    rows = []
    for frame_ms in (20, 100, 200):
        size = 32 * frame_ms
        ear = Ear(detector.listen())
        ear.hear(pcm[:32000])
        began = time.thread_time()
        for at in range(0, len(pcm), size):
            ear.hear(pcm[at : at + size])
        spent = (time.thread_time() - began) * 1000 / 100
        rows.append([f"ear with detector, 100 ms of sound in {frame_ms} ms frames", f"{spent:.2f} ms"])
    turns = build_turn_detector(settings)
    assert isinstance(turns, SmartTurn)
    turns.judge(pcm)
    began = time.thread_time()
    for _ in range(10):
        turns.judge(pcm)
    return [*rows, ["a judgement of Smart Turn", f"{(time.thread_time() - began) * 100:.0f} ms"]]


if __name__ == "__main__":
    main()
