"""`voicehelper up` on a warm machine until ready, by step; and a second `up` while it runs.

    python -m benchmarks.bench_up [--rounds 3]

Everything is installed, the models are fetched and the sample knowledge base is indexed (by a first `up` that is not
counted): what is left is starting. The steps' times are those `up` prints; engines and Ray start at the same time. The
first question is asked as soon as `up` has ended, while the model still reads its stable prefix.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from benchmarks.bench_api import Asker
from benchmarks.instance_rig import Server, installation, settings_of, start, stop, warmed_up
from benchmarks.report import aims, at_most, table

_STEP = re.compile(r"^✓\s+([\d.]+) s  (.+?)(?:  .*)?$", re.MULTILINE)
T = TypeVar("T")
QUESTION = "退款多久到账？"


@dataclass
class Start:
    """One `up`; seconds."""

    whole: float
    steps: dict[str, float]
    again: float = 0.0
    first_question: float = 0.0
    prefix_read: float = 0.0
    down: float = 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with installation() as server:
        start(server)
        stop(server)
        starts = [measure(server) for _ in range(rounds)]
    report(starts)


def measure(server: Server) -> Start:
    """Up, ask, up again, down."""
    seconds, output = _timed(lambda: start(server))
    found = Start(seconds, steps_of(output))
    ended = time.monotonic()
    asker = Asker(server)
    found.first_question = asker.ask(QUESTION).at["delta"] / 1000
    warmed_up(asker.metrics, settings_of(server).chat.parallel)
    found.prefix_read = time.monotonic() - ended
    found.again, _ = _timed(lambda: start(server))
    found.down, _ = _timed(lambda: stop(server))
    return found


def steps_of(output: str) -> dict[str, float]:
    """Seconds by step, from the lines of `up`."""
    steps: dict[str, float] = {}
    for seconds, name in _STEP.findall(output):
        steps.setdefault("API ready" if name.startswith("API ready") else name, float(seconds))
    return steps


def report(starts: Sequence[Start]) -> None:
    """Everything as Markdown."""
    print(f"{len(starts)} starts; seconds, in the order in which `up` reports.\n")
    names = [name for name in starts[0].steps if name != "Up"]
    rows = [[name, *(_seconds(one.steps.get(name)) for one in starts)] for name in names]
    rows += [
        ["**the command, from its start to its end**", *(f"**{one.whole:.1f}**" for one in starts)],
        ["of it: Python and imports of the command itself", *(_seconds(one.whole - one.steps["Up"]) for one in starts)],
        ["a second `up` while it runs", *(_seconds(one.again) for one in starts)],
        ["first text of a question asked at once", *(_seconds(one.first_question) for one in starts)],
        ["until the model has read its stable prefix in every slot", *(_seconds(one.prefix_read) for one in starts)],
        ["`voicehelper down`", *(_seconds(one.down) for one in starts)],
    ]
    print(table(["", *(f"start {number + 1}" for number in range(len(starts)))], rows))
    print(
        aims(
            at_most("`up` on a warm machine until ready, median", 30, median(one.whole for one in starts), "s"),
        )
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
