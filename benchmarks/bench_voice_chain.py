"""Twenty spoken questions to the product as it is installed: from the end of speech to the answer's first sound.

    python -m benchmarks.bench_voice_chain [--questions 20]

Two installations with their own engines, Ray and models, asked in turns by a telephone on /ws/voice: one that runs
ahead while the user still speaks, one that does not (`voice.run_ahead`). Each question is a new call. The first is then
asked again: its answers are remembered, and what was said of them is in the spoken cache. The voice that asks is the
product's own, the knowledge base is the sample shop, the model is the default one. Words that fill silence are off
(`dead_air_ms` 0). The stages are what the server tells the caller (`latency`): the question's end until it is sure that
it is one, its last recognition (works during that silence), and after it retrieval and the first token, each counted
from when the question was put.
"""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from benchmarks.instance_rig import Metrics, Server, installation, settings_of, start, wait_until, warmed_up
from benchmarks.report import load, quantiles, table
from tests.fakes.question_set import EvalQuestion, holds_expected, load_questions
from tests.prove.voice_caller import Caller
from voicehelper.voice.resample import resample

STAGES = ("end_of_turn_ms", "asr_ms", "retrieval_ms", "first_token_ms", "first_sound_ms")
_SPEECH_RATE, _INPUT_RATE = 24_000, 16_000
_QUIET = 300
_ANSWER_S = 120.0


@dataclass(frozen=True)
class Turn:
    """One question and what came of it."""

    question: EvalQuestion
    heard: str
    answer: str
    heard_first_ms: float
    """From the last sample of speech to the first of the answer's sound at the caller, by the caller's clock."""
    stages: dict[str, int | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20)
    arguments = parser.parse_args()
    asked = [it for it in load_questions() if it.lang in {"zh", "en"} and not it.history and it.answerable]
    with ExitStack() as stack:
        ahead, plain = stack.enter_context(installation()), stack.enter_context(installation())
        plain.environment["VOICEHELPER_VOICE__RUN_AHEAD"] = "false"
        for server in (ahead, plain):
            start(server)
            _ready(server)
        asyncio.run(_measure(ahead, plain, asked[: arguments.questions]))


def _ready(server: Server) -> None:
    with server.api() as api:
        warmed_up(Metrics(api), settings_of(server).chat.parallel)

        def speaks() -> bool:
            probes = str(httpx.get(f"{api.base_url}/ready", timeout=5, trust_env=False).json())
            return all(name in probes for name in ("stt", "tts")) and "unavailable" not in probes

        wait_until(speaks, 120)


async def _measure(ahead: Server, plain: Server, questions: list[EvalQuestion]) -> None:
    began = load()
    found: dict[str, list[Turn]] = {"without running ahead": [], "running ahead": [], "asked again": []}
    spoken = {it.id: await asyncio.to_thread(_speech, ahead, it.question) for it in questions}
    for number, question in enumerate(questions):
        pairs = [("without running ahead", plain), ("running ahead", ahead)]
        for name, server in pairs[:: -1 if number % 2 else 1]:
            found[name].append(await _ask(server, question, spoken[question.id]))
        found["asked again"].append(await _ask(ahead, question, spoken[question.id]))
        print(f"{question.question} | {' | '.join(_short(turns[-1]) for turns in found.values())}", flush=True)
    print(f"\n{len(questions)} questions in turns, load average {began:.1f} before; p50 / p95\n")
    rows = [
        (
            name,
            *(_spread([it.stages[stage] for it in turns]) for stage in STAGES),
            _spread([it.heard_first_ms for it in turns]),
            f"{sum(map(_right, turns))} of {len(turns)}",
        )
        for name, turns in found.items()
    ]
    head = ["ms", *(stage.removesuffix("_ms").replace("_", " ") for stage in STAGES), "at the caller", "right"]
    print(table(head, rows))


def _speech(server: Server, text: str) -> bytes:
    with server.api() as api:
        body = {"model": "tts-1", "input": text, "voice": "alloy", "response_format": "pcm"}
        pcm = api.post("/v1/audio/speech", json=body).raise_for_status().content
    samples = np.frombuffer(resample(pcm, _SPEECH_RATE, _INPUT_RATE), "<i2")
    return samples[: int(np.flatnonzero(np.abs(samples) > _QUIET)[-1]) + 1].tobytes()  # it ends where speech ends


async def _ask(server: Server, question: EvalQuestion, speech: bytes) -> Turn:
    with server.api() as api:
        url, token = str(api.base_url), api.headers["authorization"].removeprefix("Bearer ")
    async with Caller(url, token, {"turn_detection": {"dead_air_ms": 0}}) as call:
        await asyncio.sleep(0.5)
        call.say(speech)
        await call.until(lambda: not call.speaking, 60)
        ended = asyncio.get_running_loop().time()
        await call.until(lambda: bool(call.played), _ANSWER_S)
        heard = asyncio.get_running_loop().time() - ended
        await call.until(lambda: bool(call.of("latency")) and bool(call.of("answer.completed")), _ANSWER_S)
        facts: dict[str, Any] = call.of("latency")[-1]
        final = " ".join(event["text"] for event in call.of("transcript.final"))
        answer = call.of("answer.completed")[-1]["message"]["content"]
    stages = {stage: facts[stage] for stage in STAGES}
    return Turn(question, final, answer, heard * 1000, stages)


def _right(turn: Turn) -> bool:
    return holds_expected(turn.question, turn.answer)


def _short(turn: Turn) -> str:
    return f"heard {turn.heard}, {turn.heard_first_ms:.0f} ms{'' if _right(turn) else ', wrong'}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return quantiles(known) if known else ""


if __name__ == "__main__":
    main()
