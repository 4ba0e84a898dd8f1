"""What the benchmarks print, in Markdown: tables, and the aims with what was measured beside them.

A bench is a program that prints Markdown. Its aims are a table with one fixed head, so that `python -m benchmarks` can
collect them from the output of each.
"""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

_AIMS_HEAD = ("aim", "wanted", "measured", "met")
_YES, _NO = "yes", "**no**"


@dataclass(frozen=True)
class Aim:
    """What was wished for and what came out. The texts carry their units and may not hold `|`."""

    what: str
    wanted: str
    measured: str
    met: bool


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def aims(*found: Aim) -> str:
    """The table that `read_aims` reads."""
    rows = [(aim.what, aim.wanted, aim.measured, _YES if aim.met else _NO) for aim in found]
    return "\n" + table(_AIMS_HEAD, rows)


def read_aims(markdown: str) -> list[Aim]:
    """Every aim in the output of a bench."""
    found: list[Aim] = []
    inside = False
    for line in markdown.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))
        if cells == _AIMS_HEAD:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("| ---"):
            what, wanted, measured, met = cells
            found.append(Aim(what, wanted, measured, met == _YES))
    return found


def at_most(what: str, limit: float, measured: float, unit: str, digits: int = 1) -> Aim:
    """An aim `<= limit`."""
    return Aim(what, f"<= {limit:g} {unit}".strip(), f"{measured:.{digits}f} {unit}".strip(), measured <= limit)


def at_least(what: str, limit: float, measured: float, unit: str = "", digits: int = 2) -> Aim:
    """An aim `>= limit`."""
    return Aim(what, f">= {limit:g} {unit}".strip(), f"{measured:.{digits}f} {unit}".strip(), measured >= limit)


def quantiles(values: Sequence[float], digits: int = 0) -> str:
    """`p50 / p95` of `values`."""
    return f"{np.percentile(values, 50):.{digits}f} / {np.percentile(values, 95):.{digits}f}"


def machine() -> str:
    """This machine, as a Markdown table."""
    memory = psutil.virtual_memory().total / 2**30
    rows = [
        ("processor", _processor()),
        ("cores", len(os.sched_getaffinity(0))),
        ("memory", f"{memory:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
    ]
    return table(("machine", ""), rows)


def load() -> float:
    """The one-minute load average."""
    return os.getloadavg()[0]


def now() -> str:
    """Date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()
