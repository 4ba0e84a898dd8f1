"""Speech synthesis: time to the first sound of a clause, alone and beside the language model; what of it is understood.

    python -m benchmarks.bench_voice_speech [--rounds 5] [--no-llm] [--no-words]

Kokoro is asked as a call asks it. Times are medians over rounds, with the best round in brackets, because other load on
the machine only ever adds; CPU seconds hardly change with it. What was spoken is written down by the configured
recogniser (Whisper base) and compared: characters in Chinese, words in English; its own mistakes count as ours.
"""

import argparse
import asyncio
import re
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from actors.chat.registry import build_chat_model
from actors.stt.registry import build_speech_to_text
from actors.tts.kokoro import RATE, KokoroSpeech
from benchmarks.report import Aim, aims, at_most, table
from benchmarks.speech_sentences import CHINESE, ENGLISH, MIXED
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.ports.chat import ChatMessage, ChatModel, ChatRequest
from voicehelper.ports.speech import INPUT_RATE, Recognition, SpeechToText, Utterance
from voicehelper.voice.resample import resample

CLAUSES = (
    Utterance("您好，"),
    Utterance("我帮您查一下，"),
    Utterance("这款手机支持七天无理由退货，"),
    Utterance("Sure, let me check.", "en"),
    Utterance("退款会原路返回到您的银行卡，一般三到五个工作日到账，请您耐心等待。"),
)


@dataclass
class Take:
    """One synthesis: seconds to the first sound, to the end, of CPU, and of sound."""

    first_s: float
    all_s: float
    cpu_s: float
    sound_s: float


async def main() -> None:
    arguments = parse()
    settings = Settings()
    folder = ensure_models(settings, [settings.tts.model])[settings.tts.model]
    begun = time.perf_counter()
    voices = {threads: KokoroSpeech(folder, model="kokoro-82m", threads=threads) for threads in (1, 2)}
    print(f"Loading and warming up two actors took {time.perf_counter() - begun:.1f} s.\n")
    found = [await first_sounds(voices, arguments.rounds, "alone")]
    if not arguments.no_llm:
        chat = build_chat_model(settings)
        found += [await beside_the_model(voices, chat, arguments.rounds)]
    if not arguments.no_words:
        found += await understood(voices[2], build_speech_to_text(settings))
    print(aims(*found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-llm", action="store_true")
    parser.add_argument("--no-words", action="store_true")
    return parser.parse_args()


async def take(voice: KokoroSpeech, utterance: Utterance) -> Take:
    begun, cpu, first, size = time.perf_counter(), time.process_time(), 0.0, 0
    async for piece in voice.synthesize(utterance):
        first = first or time.perf_counter() - begun
        size += len(piece)
    return Take(first, time.perf_counter() - begun, time.process_time() - cpu, size / 2 / RATE)


async def first_sounds(voices: dict[int, KokoroSpeech], rounds: int, where: str) -> Aim:
    print(f"### First sound, {where}\n")
    rows, best = [], 9.0
    for utterance in CLAUSES:
        takes: dict[int, list[Take]] = {threads: [] for threads in voices}
        for _ in range(rounds):
            for threads, voice in voices.items():
                takes[threads].append(await take(voice, utterance))
        rows.append([utterance.text, *(cell for made in takes.values() for cell in cells(made))])
        if utterance is CLAUSES[1]:
            best = min(statistics.median(one.first_s for one in made) for made in takes.values())
    heads = ("first sound, ms", "CPU, ms", "times real time")
    print(table(["clause", *(f"{threads} thread: {head}" for threads in voices for head in heads)], rows), "\n")
    return at_most(f"first sound of a clause of six characters, {where}", 500, best * 1000, "ms", 0)


def cells(takes: Sequence[Take]) -> list[str]:
    first = [one.first_s * 1000 for one in takes]
    return [
        f"{statistics.median(first):.0f} ({min(first):.0f})",
        f"{min(one.cpu_s for one in takes) * 1000:.0f}",
        f"{statistics.median(one.all_s / one.sound_s for one in takes):.2f}",
    ]


async def beside_the_model(voices: dict[int, KokoroSpeech], chat: ChatModel, rounds: int) -> Aim:
    """While one answer is decoded with all cores, as in a call."""
    talking = asyncio.create_task(keep_talking(chat))
    await asyncio.sleep(5)
    try:
        return await first_sounds(voices, rounds, "beside the language model")
    finally:
        talking.cancel()
        with suppress(asyncio.CancelledError):
            await talking


async def keep_talking(chat: ChatModel) -> None:
    while True:
        question = ChatRequest((ChatMessage("user", "从一数到一千，每个数写成汉字。"),), max_tokens=512)
        async for _ in chat.stream(question):
            pass


async def understood(voice: KokoroSpeech, stt: SpeechToText) -> list[Aim]:
    print("### What is understood\n")
    sets: list[tuple[str, str, Sequence[str], str, Callable[[str], Sequence[str]]]] = [
        ("Chinese, zf_xiaoxiao", "zh", CHINESE, "zf_xiaoxiao", characters),
        ("Chinese, zm_yunxi", "zh", CHINESE, "zm_yunxi", characters),
        ("English, af_heart", "en", ENGLISH, "af_heart", words),
        ("English, zf_xiaoxiao", "en", ENGLISH, "zf_xiaoxiao", words),
        ("both in a sentence, zf_xiaoxiao", "zh", MIXED, "zf_xiaoxiao", characters),
        ("both in a sentence, zm_yunxi", "zh", MIXED, "zm_yunxi", characters),
    ]
    rows, rates = [], {}
    for name, language, texts, speaker, units in sets:
        wrong = total = whole = 0
        for text in texts:
            pcm = b"".join([p async for p in voice.synthesize(Utterance(text, language, speaker))])
            heard = await stt.transcribe(Recognition(resample(pcm, RATE, INPUT_RATE), stream=text, language=language))
            wanted = units(text)
            errors = min(distance(wanted, units(heard.text)), len(wanted))
            wrong, total, whole = wrong + errors, total + len(wanted), whole + (not errors)
        rates[name] = 100 * wrong / total
        rows.append((name, len(texts), f"{wrong} of {total}", f"{rates[name]:.1f} %", f"{whole} of {len(texts)}"))
    print(table(("sentences", "number", "wrong", "error rate", "without a mistake"), rows))
    return [
        at_most("characters misheard, Chinese", 10, rates["Chinese, zf_xiaoxiao"], "%"),
        at_most("words misheard, English", 10, rates["English, af_heart"], "%"),
    ]


def characters(text: str) -> Sequence[str]:
    return re.sub(r"\W", "", text.lower())


def words(text: str) -> Sequence[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("5", "five"))


def distance(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's."""
    before = list(range(len(heard) + 1))
    for row, one in enumerate(wanted, 1):
        now = [row]
        for column, other in enumerate(heard, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (one != other)))
        before = now
    return before[-1]


if __name__ == "__main__":
    asyncio.run(main())
