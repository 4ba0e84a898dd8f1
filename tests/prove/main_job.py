"""`make prove-main-job`: runs what can run by itself of "Done when", with real processes, one line each.

Numbers on the command line select points ("2 3"); 1 always runs.

State lies in a temporary folder; only the model files come from the cache. The exit status is 1 if any point fails.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.prove import bad_input, indexing, killing, questions
from tests.prove.report import Report
from tests.prove.server import ROOT, Server

TOTAL = 300


def main(points: set[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="vh-prove-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    server, report = Server(folder / "home", folder / "log"), Report()
    server.environment["VOICEHELPER_LIMITS__ENABLED"] = "false"  # one user asks here as fast as he can
    print(f"state and log in {folder}", flush=True)
    try:
        _start(server, report)
        if not report.failed:
            _use(server, report, folder, points)
    finally:
        server.cli("down")
    if "6" in points:
        _topologies(report)
    if report.failed:
        print(f"\n{len(report.failed)} failed: " + "; ".join(report.failed) + f"\nkept {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print("\nall passed")
    return 0


def _start(server: Server, report: Report) -> None:
    with report.point("1. `voicehelper up` from nothing ends with a cited answer") as outcome:
        started = time.monotonic()
        up = server.cli("up", timeout=600)
        outcome.figure = f"{time.monotonic() - started:.0f} s, exit {up.returncode}"
        outcome.ok = up.returncode == 0 and "[1]" in up.stdout
    with report.point("1. `voicehelper up` again is quick and harmless") as outcome:
        started = time.monotonic()
        again = server.cli("up", timeout=120)
        outcome.figure = f"{time.monotonic() - started:.1f} s, exit {again.returncode}"
        outcome.ok = again.returncode == 0


def _use(server: Server, report: Report, folder: Path, points: set[str]) -> None:
    if "4" in points:
        _bad_input(server, report)
    if "5" in points:
        with report.point("5. forty questions through the default model") as outcome:
            outcome.figure, outcome.ok = questions.run(server)
    if "2" in points:
        _index(server, report, folder)
    if "3" in points:
        _kill(server, report)


def _bad_input(server: Server, report: Report) -> None:
    with server.api() as api:
        kb = api.post("/api/v1/knowledge/bases", json={"name": "prove-bad-input"}).json()["id"]
        conversation = api.post("/api/v1/conversations", json={"knowledge_bases": ["sample"]}).json()["id"]
        with report.point("4. bad input gets a 4xx of our format") as outcome:
            count, wrong = bad_input.run(api, kb, conversation)
            outcome.ok, outcome.figure = not wrong, f"{count - len(wrong)}/{count} " + " | ".join(wrong)
        with report.point("4. the service still answers") as outcome:
            turn = api.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "退款多久到账？"})
            outcome.ok = turn.status_code == 200 and bool(turn.json()["answer"]["citations"])
            outcome.figure = f"{turn.status_code}"


def _index(server: Server, report: Report, folder: Path) -> None:
    corpus = indexing.write_corpus(folder / "corpus", TOTAL)
    with report.point(f"2. `voicehelper index` of {corpus.size} files, killed and run again") as outcome:
        outcome.figure = indexing.by_cli(server, corpus, "prove-cli")
        outcome.ok = True
    with report.point(f"2. `ray job submit` of {corpus.size} files, killed and run again") as outcome:
        outcome.figure = indexing.by_ray_job(server, corpus, "prove-job")
        outcome.ok = True


def _kill(server: Server, report: Report) -> None:
    with server.api() as api:
        kb = api.post("/api/v1/knowledge/bases", json={"name": "prove-kill"}).json()["id"]
        conversation = api.post("/api/v1/conversations", json={"knowledge_bases": ["sample"]}).json()["id"]
    with report.point(f"3. kill -9 of each process: all back within {killing.LIMIT_S:.0f} s") as outcome:
        recovery, load = killing.prove(server, kb, conversation)
        outcome.figure = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in recovery.items())
        outcome.ok = max(recovery.values()) <= killing.LIMIT_S
    with report.point("3. nothing acknowledged was lost") as outcome:
        lost = killing.lost(server, load)
        outcome.ok = not lost and bool(load.documents) and bool(load.questions)
        outcome.figure = (
            f"{len(load.documents)} uploads and {len(load.questions)} questions acknowledged, {len(lost)} lost"
            f" {lost[:3]}; {load.errors} requests refused meanwhile"
        )


def _topologies(report: Report) -> None:
    with report.point("6. end-to-end tests under both topologies") as outcome:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/e2e", "--no-header"],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        outcome.ok = done.returncode == 0
        outcome.figure = (done.stdout.strip().splitlines() or ["no output"])[-1]


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:]) or set("123456")))
