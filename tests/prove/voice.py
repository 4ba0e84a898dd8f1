"""`make prove-voice`: what can run by itself of "talk to it", with real processes, one line a point.

Numbers on the command line select points ("2 4"); SEED in the environment repeats a run. State lies in a temporary
folder. The exit status is 1 if any point fails.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.openai_thread import scripted_model
from tests.prove import voice_page
from tests.prove.report import Report
from tests.prove.server import ROOT
from tests.prove.voice_fuzz import fuzz
from tests.prove.voice_kills import outlive, roll, survive
from tests.prove.voice_openai import Talk, speech, talk
from tests.prove.voice_server import ANSWER, QUESTION, SECOND, VoiceCluster
from voicehelper.telemetry import configure_logging

RESUMES = int(os.environ.get("RESUMES") or 20)
MODEL_KILLS = 8
CALLS = 10
RANDOM_STRINGS = 10_000


def main(points: set[str], seed: int) -> int:
    configure_logging("CRITICAL")
    folder = Path(tempfile.mkdtemp(prefix="vh-prove-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    report = Report()
    print(f"state and log in {folder}, seed {seed}", flush=True)
    if "4" in points:
        _table(report)
    if points & set("1235"):
        _whole_instance(report, folder, points, seed)
    if report.failed:
        print(f"\n{len(report.failed)} failed: " + "; ".join(report.failed) + f"\nkept {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print("\nall passed")
    return 0


def _table(report: Report) -> None:
    with report.point("4. turn taking in virtual time, and journals replayed bit-equal") as outcome:
        command = [sys.executable, "-m", "pytest", "tests/unit/voice_core", "--no-header"]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
        outcome.ok = done.returncode == 0
        outcome.figure = (done.stdout.strip().splitlines() or ["no output"])[-1]


def _whole_instance(report: Report, folder: Path, points: set[str], seed: int) -> None:
    with scripted_model() as model:
        model.reset(ANSWER, delay=0.03, piece=3)
        server = VoiceCluster(folder / "home", folder / "log", model_url=model.url)
        try:
            with report.point("0. an instance with two gateway replicas, recogniser and synthesiser") as outcome:
                outcome.figure, outcome.ok = f"ready after {server.start():.0f} s", True
            if outcome.ok:
                server.base("prove")
                _use(report, server, points, seed)
        finally:
            server.stop()


def _use(report: Report, server: VoiceCluster, points: set[str], seed: int) -> None:
    if "1" in points:
        with report.point("1. a browser asks by voice, hears, interrupts, goes on") as outcome:
            outcome.figure = voice_page.missing()
            if not outcome.figure:
                outcome.figure, outcome.ok = voice_page.converse(server)
    if "3" in points:
        with report.point("3. OpenAI's own client: two turns by voice, one interruption") as outcome:
            held = asyncio.run(_openai(server))
            outcome.figure, outcome.ok = str(held), held.held
    if "5" in points:
        with report.point(f"5. {RANDOM_STRINGS} random strings and other nonsense, beside two calls") as outcome:
            found = asyncio.run(fuzz(server.url, server.login()["access_token"], strings=RANDOM_STRINGS, seed=seed))
            outcome.ok = found.ok
            outcome.figure = (
                f"{found.sent} sent, {found.errors} errors, closes"
                f" { {attack: dict(codes) for attack, codes in found.closes.items()} }; {len(found.wrong)} wrong"
                f" {found.wrong[:4]}; calls beside: {found.neighbours}"
            )
    if "2" in points:
        with report.point(f"2. {RESUMES} answers whose replica is killed in the middle") as outcome:
            outcome.figure, outcome.ok = survive(server, RESUMES, seed)
        with report.point(f"2. {MODEL_KILLS} kills of the models' processes while answers sound") as outcome:
            outcome.figure, outcome.ok = outlive(server, MODEL_KILLS, seed)
        with report.point(f"2. a rolling update under {CALLS} calls") as outcome:
            outcome.figure, outcome.ok = roll(server, CALLS)


async def _openai(server: VoiceCluster) -> Talk:
    token = str(server.login()["access_token"])
    first, second = [await speech(server.url, token, text) for text in (QUESTION, SECOND)]
    return await talk(server.url, token, first, second)


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:]) or set("12345"), int(os.environ.get("SEED") or random.randrange(10**6))))
