"""llama.cpp through the whole stack against the bare engine, and who waits for whom under load.

    python -m benchmarks.bench_llama_stack [--rounds 2]

The stack is `voicehelper up` with `POST /v1/chat/completions`, streamed, and the model in its own deployment. The bare
engine is the same library with the same model, slots, threads and batches in this process. They take turns within each
round and the order changes from round to round, so that a busy machine slows both alike: read the ratios.
"""

import argparse
import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.instance_rig import Metrics, installation, settings_of, start, warmed_up
from benchmarks.llama_loads import Answer, Bare, Side, Stack, later, long, short, together
from benchmarks.report import Aim, aims, at_least, at_most, table
from voicehelper.config import Settings
from voicehelper.embedded.models import model_path

LOADS = (1, 4, 8)
OUTPUT = 48
ARRIVALS_S = (1.0, 2.7, 4.6)


@dataclass(frozen=True)
class Load:
    """So many short requests at once."""

    tokens_s: float
    first_s: float
    last_first_s: float


@dataclass(frozen=True)
class Beside:
    """One long prompt, and short ones that come while it is read; then one that decodes beside a long one."""

    alone_s: float
    short_s: float
    long_alone_s: float
    long_s: float
    decoding_tokens_s: float
    longest_gap_s: float


Results = dict[str, list[tuple[dict[int, Load], Beside]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--loads", type=int, nargs="+", default=LOADS)
    arguments = parser.parse_args()
    with installation() as server:
        start(server, "--no-sample")
        settings, api = settings_of(server), server.api()
        warmed_up(Metrics(api), settings.chat.parallel)
        bare = Bare(model_path(settings, settings.chat.model), settings.chat, len(os.sched_getaffinity(0)))
        sides = (Stack(api, settings.chat.model), bare)
        results = asyncio.run(measure(sides, arguments.rounds, arguments.loads))
        bare.close()
    report(results, settings, arguments.loads)


async def measure(sides: Sequence[Side], rounds: int, loads: Sequence[int]) -> Results:
    """Round by round, side by side."""
    results: Results = {side.name: [] for side in sides}
    for side in sides:
        await together(side, [short(1)])
    for number in range(rounds):
        found: dict[str, dict[int, Load]] = defaultdict(dict)
        order = sides if number % 2 else tuple(reversed(sides))
        for load in loads:
            for side in order:
                found[side.name][load] = summed(await together(side, [short(OUTPUT) for _ in range(load)]))
        for side in order:
            results[side.name].append((found[side.name], await beside(side)))
    return results


def summed(answers: Sequence[Answer]) -> Load:
    """Of answers that were asked for at once."""
    firsts = [answer.first for answer in answers]
    speed = sum(answer.tokens for answer in answers) / max(answer.whole for answer in answers)
    return Load(speed, median(firsts), max(firsts))


async def beside(side: Side) -> Beside:
    """Short and long prompts side by side, each measured alone before."""
    alone = [(await side.ask(short(2))).first for _ in range(3)]
    long_alone = (await side.ask(long())).first
    delayed = (later(side, partial(short, 2), delay) for delay in ARRIVALS_S)
    waited, *shorts = await asyncio.gather(side.ask(long()), *delayed)
    talker, _ = await asyncio.gather(side.ask(short(120)), later(side, long, 1.5))
    gaps = [after - before for before, after in zip(talker.at, talker.at[1:], strict=False)]
    return Beside(
        alone_s=median(alone),
        short_s=median(answer.first for answer in shorts),
        long_alone_s=long_alone,
        long_s=waited.first,
        decoding_tokens_s=len(gaps) / max(sum(gaps), 1e-9),
        longest_gap_s=max(gaps, default=0.0),
    )


def report(results: Results, settings: Settings, loads: Sequence[int]) -> None:
    """Everything as Markdown."""
    chat = settings.chat
    print(f"{chat.model}, {chat.parallel} slots; short prompts that begin alike, {OUTPUT} tokens of output each.\n")
    print(table(["at once", "", *results, "stack / bare"], _load_rows(results, loads)))
    print("\n### A short prompt beside a long one (some 30 and 1500 unread tokens)\n")
    print(table(["seconds", *results], _beside_rows(results)))
    print(aims(*_aims(results, loads)))


def _load_rows(results: Results, loads: Sequence[int]) -> list[list[object]]:
    rows: list[list[object]] = []
    for load in loads:
        for name, field in (("tokens/s", "tokens_s"), ("first token, p50, s", "first_s"), ("last", "last_first_s")):
            values = [_of_loads(results, side, load, field) for side in results]
            ratio = median(stack / bare for stack, bare in zip(*values, strict=True))
            rows.append([load, name, *(f"{median(found):.2f}" for found in values), f"{ratio:.2f}"])
    return rows


def _beside_rows(results: Results) -> list[list[object]]:
    names = {
        "short prompt alone, first token": "alone_s",
        "short prompt beside the long one, first token": "short_s",
        "long prompt alone, first token": "long_alone_s",
        "long prompt with three short ones beside it": "long_s",
        "decoding beside a long prompt, tokens/s": "decoding_tokens_s",
        "its longest pause": "longest_gap_s",
    }
    return [[name, *(f"{_of_beside(results, side, field):.2f}" for side in results)] for name, field in names.items()]


def _aims(results: Results, loads: Sequence[int]) -> list[Aim]:
    stack, bare = Stack.name, Bare.name
    found = []
    for load in loads:
        pairs = zip(
            _of_loads(results, stack, load, "tokens_s"), _of_loads(results, bare, load, "tokens_s"), strict=True
        )
        found.append(at_least(f"tokens/s, stack / bare, {load} at once", 0.95, median(a / b for a, b in pairs)))
        firsts = zip(_of_loads(results, bare, load, "first_s"), _of_loads(results, stack, load, "first_s"), strict=True)
        found.append(at_least(f"first token, bare / stack, {load} at once", 0.95, median(a / b for a, b in firsts)))
    if 8 in loads:
        found.append(
            at_most("first token of 8 short at once, p50", 4, median(_of_loads(results, stack, 8, "first_s")), "s")
        )
    ratio = median(at.short_s / at.alone_s for _, at in results[stack])
    found.append(at_most("short beside long / short alone, first token", 2, ratio, "", 2))
    return found


def _of_loads(results: Results, side: str, load: int, field: str) -> list[float]:
    return [getattr(loads[load], field) for loads, _ in results[side]]


def _of_beside(results: Results, side: str, field: str) -> float:
    return float(median(getattr(at, field) for _, at in results[side]))


if __name__ == "__main__":
    main()
