"""Run the benches and write benchmarks/RESULTS.md.

    python -m benchmarks              all of them (`make bench`)
    python -m benchmarks api up       these; the others' sections stay as they are
    python -m benchmarks --list

Each bench runs in a process of its own, one after the other. The exit status is 1 when one did not come to its end;
an aim that is not met is a result, not a failure.
"""

import argparse
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import load, machine, now, read_aims, table
from benchmarks.sections import SECTIONS, Section

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
_GRACE_S = 60.0  # what a bench has started is stopped in this time
_AIMS_TITLE = "Aims"
_INTRO = f"""# Benchmark results

Written by `python -m benchmarks` (`make bench`), each section by the command it names; a section can be measured again
alone with `python -m benchmarks NAME`. Medians unless it says otherwise. An aim that was missed stays in the table.

{{machine}}

## {_AIMS_TITLE}

{{aims}}
"""


@dataclass(frozen=True)
class Run:
    """What one bench printed, and how it ended."""

    section: Section
    output: str
    status: int
    seconds: float
    loads: tuple[float, float]

    def markdown(self) -> str:
        """The section's text."""
        facts = (
            f"{now()}, took {self.seconds:.0f} s, load average {self.loads[0]:.1f} before and {self.loads[1]:.1f} after"
        )
        failed = f"\n\n**Failed** with exit status {self.status}; what it printed until then:" if self.status else ""
        return f"`{self.section.command}` ({facts}){failed}\n\n{as_markdown(self.output)}\n"


def as_markdown(output: str) -> str:
    """`output` below a heading of second rank: its headings lowered, plain text in a code block."""
    text = output.strip()
    if not re.search(r"(?m)^(\| |#|- )", text):
        return f"```text\n{text}\n```"
    return re.sub(r"(?m)^#{1,2} ", "### ", text)


def run(section: Section) -> Run:
    """Run to the end, or to the section's limit; the output is shown as it comes."""
    before, started = load(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", section.module, *section.arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that an interrupt ends the bench in its own time
    )
    assert process.stdout is not None
    timers = [
        threading.Timer(section.limit_s, _signal, (process, signal.SIGINT)),
        threading.Timer(section.limit_s + _GRACE_S, _signal, (process, signal.SIGKILL)),
    ]
    for timer in timers:
        timer.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()
        status = process.wait()
    except KeyboardInterrupt:
        _signal(process, signal.SIGINT)
        process.wait(_GRACE_S)
        raise
    finally:
        for timer in timers:
            timer.cancel()
    seconds = time.monotonic() - started
    if seconds >= section.limit_s:
        lines.append(f"\nEnded after its limit of {section.limit_s:.0f} s.\n")
    return Run(section, "".join(lines), status, seconds, (before, load()))


def _signal(process: "subprocess.Popen[str]", sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(sign)


def read_sections(text: str) -> dict[str, str]:
    """Text by title of every section that an earlier run wrote."""
    parts = re.split(r"(?m)^## (.+)\n", text)
    return {title.strip(): body.strip() + "\n" for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def render(sections: Mapping[str, str]) -> str:
    """The whole file, in the order of `SECTIONS`."""
    known = [(section.title, sections[section.title]) for section in SECTIONS if section.title in sections]
    rows = [
        (title, aim.what, aim.wanted, aim.measured, "yes" if aim.met else "**no**")
        for title, body in known
        for aim in read_aims(body)
    ]
    summary = table(("section", "aim", "wanted", "measured", "met"), rows)
    head = _INTRO.format(machine=machine(), aims=summary)
    return "\n".join([head, *(f"## {title}\n\n{body}" for title, body in known)])


def chosen(names: Sequence[str]) -> list[Section]:
    """The sections of these names, or those that always run and are there."""
    if names:
        return [section for section in SECTIONS if section.name in names]
    folder = Path(__file__).parent
    there = {f"benchmarks.{path.stem}" for path in folder.glob("*.py")}
    return [section for section in SECTIONS if not section.asked_for and section.module in there]


def main() -> int:
    """Run, write, return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="sections to run")
    parser.add_argument("--list", action="store_true", help="show the sections and their commands")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {section.name for section in SECTIONS}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if arguments.list:
        for section in SECTIONS:
            print(f"{section.name:14} {section.command}{'   (only when named)' if section.asked_for else ''}")
        return 0
    runs = [_run_and_write(section, arguments.results) for section in chosen(arguments.names)]
    failed = [done.section.name for done in runs if done.status]
    print(f"\nWrote {arguments.results}, {sum(done.seconds for done in runs):.0f} s in all", flush=True)
    if failed:
        print(f"Did not come to their end: {', '.join(failed)}")
    return 1 if failed else 0


def _run_and_write(section: Section, results: Path) -> Run:
    """The file is written after each bench: an interrupted run loses nothing that was measured."""
    print(f"\n=== {section.name}: {section.command}", flush=True)
    done = run(section)
    print(f"=== {section.name}: {done.seconds:.0f} s, exit status {done.status}", flush=True)
    before = read_sections(results.read_text()) if results.exists() else {}
    results.write_text(render({**before, section.title: done.markdown()}))
    return done


if __name__ == "__main__":
    sys.exit(main())
