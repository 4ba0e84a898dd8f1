"""What a voice session itself costs, beside Pipecat: its FastAPI WebSocket transport and ours, each under uvicorn, with
a recogniser, a model and a voice that only wait; the same recording, Silero and silence; in turns.

    python -m benchmarks.bench_voice_peers [--rounds 12] [--only answer,interrupt,sessions]

1. End of speech to first sound, less the silence that ends a turn and the three delays. "End of speech" is behind the
   last frame that the detector takes for speech. Where a recogniser works during that silence the rest can be negative,
   so the table also has what remains when only the waiting that was really done one after the other is taken off.
2. Speech onset to the last sound of the bot, when it is interrupted.
3. Calls on one core until the 95th percentile of lag passes 20 ms. Lag: how long the server lets a ping wait, and how
   late a listener gets sound that should be playing; the worse of the two.

Both keep sessions in memory only: what ours does to survive (PostgreSQL) is not in here.
The first run makes `.bench/pipecat`, an environment with Pipecat.
"""

import argparse
import asyncio
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from actors.vad import build_voice_activity
from benchmarks.report import Aim, aims, at_most, table
from benchmarks.voice_peers.caller import Call, Server, call, ours, pipecat
from benchmarks.voice_peers.load import most_calls
from benchmarks.voice_peers.recording import SPEECH, Said, recording, said
from benchmarks.voice_peers.servers import cores, our_command, pipecat_command, server
from voicehelper.config import Settings
from voicehelper.embedded.models import ensure_models
from voicehelper.ports.speech import INPUT_RATE, VoiceActivityDetector

SILENCE_S = 0.3
DELAYS = {"stt_s": 0.1, "llm_s": 0.1, "tts_s": 0.1}
TEXT = "It takes five days."
CONFIRM_S = 0.128
WARM_UP = 1


@dataclass(frozen=True)
class Kind:
    """A server in one configuration. `waits_s`: what it waits one after the other, by its configuration."""

    name: str
    command: list[str]
    client: Callable[[int], Server]
    waits_s: float


def kinds(sound_s: float) -> tuple[Kind, ...]:
    """Ours; Pipecat whose detector waits for all of the silence; Pipecat with its usual 0.2 s, the rest by timeout."""
    said = {**DELAYS, "text": TEXT, "sound_s": sound_s}
    theirs = {**said, "start_s": CONFIRM_S, "threshold": 0.5}
    whole, split = {"vad_stop_s": SILENCE_S, "speech_timeout_s": 0.0}, {"vad_stop_s": 0.2, "speech_timeout_s": 0.1}
    return (
        Kind("ours", our_command({**said, "silence_ms": int(SILENCE_S * 1000)}), ours, SILENCE_S + 0.2),
        Kind("Pipecat, stop 0.3 s", pipecat_command(theirs | whole), pipecat, SILENCE_S + 0.3),
        Kind("Pipecat, stop 0.2 + 0.1 s", pipecat_command(theirs | split), pipecat, SILENCE_S + 0.2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", default="answer,interrupt,sessions")
    arguments = parser.parse_args()
    if not SPEECH.is_dir():
        print(f"Skipped: {SPEECH} is not there.")
        return
    settings = Settings()
    ensure_models(settings, ["silero-vad"])
    detector = build_voice_activity(settings)
    print(f"Load average {os.getloadavg()[0]:.1f}; delays {DELAYS}, silence {SILENCE_S} s\n")
    found: list[Aim] = []
    wanted = arguments.only.split(",")
    if "answer" in wanted:
        found += asyncio.run(answers(detector, arguments.rounds))
    if "interrupt" in wanted:
        found += asyncio.run(interruptions(detector, arguments.rounds))
    if "sessions" in wanted:
        found += sessions(detector)
    print(aims(*found))


async def in_turns(
    chosen: Sequence[Kind], rounds: int, make: Callable[[random.Random], Said], measure: Callable[[Call, Said], float]
) -> dict[str, list[float]]:
    """One figure for each kind and round; each round says the same to all."""
    pinned = cores()
    found: dict[str, list[float]] = {kind.name: [] for kind in chosen}
    with _All(chosen, pinned[0] if pinned else None) as ports:
        if pinned:
            os.sched_setaffinity(0, {pinned[1]})
        for round_ in range(WARM_UP + rounds):
            speech = make(random.Random(round_))
            order = list(zip(chosen, ports, strict=True))
            random.Random(round_).shuffle(order)
            for kind, port in order:
                figure = measure(await call(kind.client(port), speech.pcm), speech)
                if round_ >= WARM_UP:
                    found[kind.name].append(figure)
    return found


class _All:
    """All servers at once, idle but for the one that is called."""

    def __init__(self, chosen: Sequence[Kind], core: int | None) -> None:
        self._running = [server(kind.command, core) for kind in chosen]

    def __enter__(self) -> list[int]:
        return [running.__enter__().port for running in self._running]

    def __exit__(self, *failure: object) -> None:
        for running in self._running:
            running.__exit__(None, None, None)


async def answers(detector: VoiceActivityDetector, rounds: int) -> list[Aim]:
    """End of speech to first sound."""
    chosen = kinds(sound_s=1.0)
    speech = recording()
    found = await in_turns(chosen, rounds, lambda dice: said(detector, speech, 0.5, 1.5, dice), _to_first_sound)
    print(table(HEAD_ANSWER, [_answer_row(kind, found[kind.name]) for kind in chosen]), "\n")
    rests = {kind.name: float(np.nanmedian(found[kind.name])) - kind.waits_s for kind in chosen}
    ratio = rests["ours"] / min(rests[kind.name] for kind in chosen[1:])
    what = "End of speech to first sound, less what is waited one after the other: ratio to the best Pipecat"
    return [at_most(what, 0.5, ratio, "", 2)]


HEAD_ANSWER = ["end of speech to first sound, ms", "p50", "p95", "less silence and delays", "less waits in sequence"]


def _answer_row(kind: Kind, times: list[float]) -> list[str]:
    p50, p95 = np.nanpercentile(times, [50, 95]) * 1000
    taken = (SILENCE_S + sum(DELAYS.values())) * 1000
    return [kind.name, f"{p50:.0f}", f"{p95:.0f}", f"{p50 - taken:.0f}", f"{p50 - kind.waits_s * 1000:.1f}"]


def _to_first_sound(record: Call, speech: Said) -> float:
    end = record.began + speech.end / INPUT_RATE
    return next((at for at, samples in record.sounds if samples and at > end), float("nan")) - end


async def interruptions(detector: VoiceActivityDetector, rounds: int) -> list[Aim]:
    """Speech onset to the bot's last sound."""
    chosen = kinds(sound_s=8.0)[:2]
    speech = recording()
    first = len(speech)

    def make(dice: random.Random) -> Said:
        once = said(detector, speech, 0.5, 3.0, dice)
        again = said(detector, speech[: 2 * INPUT_RATE], 0.0, 0.1, dice)
        return Said(once.pcm + again.pcm, len(once.pcm) // 2 + again.begin, first)

    found = await in_turns(chosen, rounds, make, _to_last_sound)
    rows = [
        [name, *(f"{v * 1000:.0f}" for v in np.nanpercentile(times, [50, 95])), f"{int(np.isnan(times).sum())}"]
        for name, times in found.items()
    ]
    print(table(["speech onset to last sound of the bot, ms", "p50", "p95", "not interrupted"], rows), "\n")
    own, theirs = (float(np.nanmedian(times)) * 1000 for times in found.values())
    return [at_most(f"Speech onset to last sound, ms (Pipecat: {theirs:.0f})", max(theirs, 150.0), own, "ms", 0)]


def _to_last_sound(record: Call, speech: Said) -> float:
    """Until the client was told to stop what it had got, or the last frame that came after all; not a number where
    nothing was interrupted."""
    onset = record.began + speech.begin / INPUT_RATE
    told = [at for at, text in record.texts if at > onset and ('"audio.hold"' in text or text == "stop")]
    after = [at for at, _ in record.sounds if onset < at < onset + 1.5]
    if not told:
        return float("nan")
    return max([told[0], *after]) - onset


def sessions(detector: VoiceActivityDetector) -> list[Aim]:
    """Calls on one core."""
    chosen = kinds(sound_s=3.0)[:2]
    speech = recording()
    most = {kind.name: most_calls(kind.command, kind.client, detector, speech) for kind in chosen}
    print(table(["calls on one core with a p95 lag up to 20 ms", "calls"], [[n, m] for n, m in most.items()]), "\n")
    own, theirs = most.values()
    ratio = own / max(theirs, 1)
    return [
        Aim("Calls on one core, against Pipecat", "at least 5 x", f"{own} against {theirs}: {ratio:.1f} x", ratio >= 5)
    ]


if __name__ == "__main__":
    main()
