"""Whisper as we run it: what it costs and what it gets wrong, beside faster-whisper with the same model.

    python -m benchmarks.bench_voice_recognition [--few]

Recordings: `../shared/data/speech` (three people) and sentences that our own speech synthesis says, clean and in noise.
Error rates count characters, without punctuation. Where `.bench/faster-whisper` is an environment that has
`faster-whisper` (no dependency of ours, since it brings a GPL build of FFmpeg), that writes the same recordings down
with the same model files, int8, the same threads:

    python -m venv .bench/faster-whisper && .bench/faster-whisper/bin/pip install faster-whisper
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import tempfile
import time
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from actors.stt.whisper import Whisper
from actors.tts.registry import build_text_to_speech
from benchmarks.report import table
from benchmarks.speech_sentences import CHINESE, ENGLISH, MIXED
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models, model_path
from voicehelper.ports.speech import INPUT_RATE, Recognition, Utterance
from voicehelper.voice.resample import Resampler

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "speech"
REFERENCES = {
    "en_librispeech_1995-1837-0001": "It was the first great sorrow of his life; it was not so much the loss of the"
    " cotton itself, but the fantasy, the hopes, the dreams built around it",
    "zh_aishell_BAC009S0724W0121": "广州市房地产中介协会分析",
    "zh_aishell_BAC009S0764W0121": "甚至出现交易几乎停滞的情况",
}
PEER_PYTHON = Path(__file__).resolve().parents[1] / ".bench" / "faster-whisper" / "bin" / "python"
NOISE_DB = 10.0
PEER = """
import json, sys, time, wave, numpy as np
from faster_whisper import WhisperModel
model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[2]))
for line in sys.stdin:
    path, language = json.loads(line)
    with wave.open(path) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    prompt = "以下是普通话的句子。" if language == "zh" else None
    wall, cpu = time.perf_counter(), time.process_time()
    segments, _ = model.transcribe(samples, language=language, beam_size=5, initial_prompt=prompt)
    text = "".join(segment.text for segment in segments)
    print(json.dumps([text, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """A recording and what is said in it."""

    group: str
    text: str
    language: str
    pcm: bytes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / INPUT_RATE


@dataclass(frozen=True)
class Heard:
    """What was made of it, and what that took."""

    said: Said
    text: str
    wall: float
    cpu: float

    @property
    def wrong(self) -> int:
        return distance(bare(self.said.text), bare(self.text))


def bare(text: str) -> str:
    return re.sub(r"[^\w]", "", text.lower())


def distance(one: str, other: str) -> int:
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        fresh = [i]
        for j, b in enumerate(other, 1):
            fresh.append(min(row[j] + 1, fresh[-1] + 1, row[j - 1] + (a != b)))
        row = fresh
    return row[-1]


def recordings() -> list[Said]:
    found = []
    for name, text in REFERENCES.items():
        if (path := DATA / f"{name}.wav").exists():
            with wave.open(str(path)) as file:
                language = name[:2]
                found.append(Said(f"people, {language}", text, language, file.readframes(file.getnframes())))
    return found


async def synthesised(settings: Settings, few: bool) -> list[Said]:
    tts = build_text_to_speech(settings)
    rate = (await tts.describe()).sample_rate
    said = []
    for group, texts, language in (
        ("zh", CHINESE, "zh"),
        ("en", ENGLISH, "en"),
        ("zh with English words", MIXED, "zh"),
    ):
        for text in texts[: 5 if few else None]:
            resampler = Resampler(rate, INPUT_RATE)
            parts = [resampler(part) async for part in tts.synthesize(Utterance(text, language))]
            said.append(Said(f"synthesised, {group}", text, language, b"".join([*parts, resampler.flush()])))
    return said


def noisy(said: Iterable[Said]) -> list[Said]:
    noise = np.random.default_rng(1)
    result = []
    for one in said:
        samples = np.frombuffer(one.pcm, "<i2").astype(np.float32)
        level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-NOISE_DB / 20)
        pcm = np.clip(samples + noise.normal(0, level, len(samples)), -32768, 32767).astype("<i2").tobytes()
        result.append(Said(f"{one.group}, noise {NOISE_DB:.0f} dB below", one.text, one.language, pcm))
    return result


def ours(model: Whisper, said: Sequence[Said], *, final: bool) -> list[Heard]:
    return [_ours(model, one, final) for one in said]


def _ours(model: Whisper, one: Said, final: bool) -> Heard:
    wall, cpu = time.perf_counter(), time.process_time()
    (found,) = model.recognize([Recognition(one.pcm, "bench", final, one.language)])
    return Heard(one, found.text, time.perf_counter() - wall, time.process_time() - cpu)


def peer(folder: Path, threads: int, said: Sequence[Said]) -> list[Heard]:
    with tempfile.TemporaryDirectory() as scratch:
        lines = []
        for number, one in enumerate(said):
            path = Path(scratch) / f"{number}.wav"
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, INPUT_RATE, 0, "NONE", ""))
                file.writeframes(one.pcm)
            lines.append(json.dumps([str(path), one.language]))
        command = [str(PEER_PYTHON), "-c", PEER, str(folder), str(threads)]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [Heard(one, *row) for one, row in zip(said, rows, strict=True)]


def rows_of(name: str, heard: Sequence[Heard]) -> list[tuple[str, ...]]:
    groups = dict.fromkeys(h.said.group for h in heard)
    rows: list[tuple[str, ...]] = []
    for group in groups:
        mine = [h for h in heard if h.said.group == group]
        rate = sum(h.wrong for h in mine) / sum(len(bare(h.said.text)) for h in mine)
        wall, cpu = statistics.median(h.wall for h in mine), statistics.median(h.cpu for h in mine)
        rows.append((group, f"{len(mine)}", name, f"{rate:.1%}", f"{wall * 1000:.0f} ms", f"{cpu * 1000:.0f} ms"))
    return rows


def batches(model: Whisper, said: Sequence[Said]) -> str:
    """Utterances of several sessions at once, one after another and together."""
    rows: list[tuple[str, ...]] = []
    short = [one for one in said if one.seconds < 5][:8]
    for size in (2, 4, 8):
        requests = [Recognition(one.pcm, f"{n}", False, one.language) for n, one in enumerate(short[:size])]
        apart, together = [], []
        for _ in range(3):
            start = time.perf_counter()
            for request in requests:
                model.recognize([request])
            middle = time.perf_counter()
            model.recognize(requests)
            apart.append(middle - start)
            together.append(time.perf_counter() - middle)
        rows.append((f"{len(requests)}", f"{min(apart) * 1000:.0f} ms", f"{min(together) * 1000:.0f} ms"))
    return table(("utterances", "one after another", "in one batch"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--few", action="store_true", help="five sentences of each kind")
    arguments = parser.parse_args()
    settings = Settings()
    ensure_models(settings)
    folder = model_path(settings, "whisper-base")
    said = [*recordings(), *(clean := asyncio.run(synthesised(settings, arguments.few)))]
    said += noisy(one for one in clean if one.language == "zh" and not re.search("[A-Za-z]", one.text))
    model = Whisper(folder, "whisper-base", threads=arguments.threads)
    model.recognize([Recognition(said[0].pcm, "warm-up")])
    rows = rows_of("ours, final", ours(model, said, final=True))
    rows += rows_of("ours, partial", ours(model, said, final=False))
    if PEER_PYTHON.exists():
        rows += rows_of("faster-whisper", peer(folder, arguments.threads, said))
    print(f"whisper-base, int8, {arguments.threads} threads; medians of an utterance.\n")
    head = ("recordings", "number", "recogniser", "characters wrong", "time", "CPU time")
    print(table(head, sorted(rows, key=itemgetter(0))))
    print("\n" + batches(model, said))


if __name__ == "__main__":
    main()
