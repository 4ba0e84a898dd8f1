"""`make prove-tenancy`: what can run by itself of "many tenants, safely", with real processes, one line a point.

Numbers on the command line select points ("2 3"); SEED in the environment repeats a run. State lies in a temporary
folder. The exit status is 1 if any point fails.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.e2e.openai_thread import scripted_model
from tests.prove import tenancy_flow as flow
from tests.prove.report import Report
from tests.prove.server import ROOT
from tests.prove.tenancy_asgi import Direct, application, settings_for
from tests.prove.tenancy_contract import Contract, check_contract
from tests.prove.tenancy_engines import EngineUrls, running_engines
from tests.prove.tenancy_kills import lose_engines, repeat_while_replicas_die
from tests.prove.tenancy_probes import Findings, probe_tenants
from tests.prove.tenancy_rows import open_pool
from tests.prove.tenancy_server import SENTENCE, Cluster
from tests.prove.tenancy_streams import cut_and_resume
from voicehelper.telemetry import configure_logging

PROBES = 10_000
CASES = 5_000
CLIENTS = 200
QUESTIONS = 500
CUTS = 200
FLOW_TESTS = (
    "tests/integration/identity",
    "tests/integration/gateway/test_gateway_flow_one.py",
    "tests/integration/gateway/test_gateway_tokens.py",
)


def main(points: set[str], seed: int) -> int:
    configure_logging("CRITICAL")
    folder = Path(tempfile.mkdtemp(prefix="vh-prove-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    report = Report()
    print(f"state and log in {folder}, seed {seed}", flush=True)
    if points & set("23"):
        _in_process(report, folder, points, seed)
    if points & set("1456"):
        _whole_instance(report, folder, points, seed)
    if "1" in points:
        _flow_tests(report)
    if report.failed:
        print(f"\n{len(report.failed)} failed: " + "; ".join(report.failed) + f"\nkept {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print("\nall passed")
    return 0


def _in_process(report: Report, folder: Path, points: set[str], seed: int) -> None:
    """Points 2 and 3: the application in this process, on engines of its own."""
    if "2" in points:
        with report.point(f"2. {PROBES} random cross-tenant probes find nothing") as outcome:
            with running_engines(_made(folder / "probes")) as urls:
                found, routes = asyncio.run(_probe(folder / "probes" / "home", urls, seed))
            outcome.ok = found.count == 0 and found.probes >= PROBES and len(found.covered) >= routes
            outcome.figure = (
                f"{found.probes} probes of {len(found.covered)} routes and methods, {found.count} findings"
                f" {found.lines()}; answers {dict(found.statuses.most_common())}"
            )
    if "3" in points:
        with report.point(f"3. {CASES} schemathesis cases contradict nothing") as outcome:
            with running_engines(_made(folder / "contract")) as urls:
                settings = settings_for(folder / "contract" / "home", urls.postgres, urls.redis)
                contract: Contract = check_contract(settings, urls.postgres, CASES, seed)
            outcome.ok = not contract.wrong and contract.cases >= CASES
            outcome.figure = (
                f"{contract.cases} cases of {len(contract.operations)} operations, {len(contract.wrong)} kinds wrong"
                f" {contract.lines()}; answers {dict(contract.statuses.most_common())}"
            )


def _made(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o755)
    return folder


async def _probe(home: Path, urls: EngineUrls, seed: int) -> tuple[Findings, int]:
    async with application(settings_for(home, urls.postgres, urls.redis)) as app:
        direct, pool = Direct(app), await open_pool(urls.postgres)
        try:
            document = (await direct.call("GET", "/openapi.json")).json()
            findings, world = await probe_tenants(direct, pool, document, PROBES, seed)
            return findings, len(world.operations)
        finally:
            await pool.close()


def _whole_instance(report: Report, folder: Path, points: set[str], seed: int) -> None:
    with scripted_model() as model:
        model.reset(SENTENCE, delay=0.02, piece=4)
        server = Cluster(folder / "home", folder / "log", model_url=model.url)
        try:
            with report.point("0. an instance with three gateway replicas") as outcome:
                outcome.figure, outcome.ok = f"ready after {server.start():.0f} s", True
            if outcome.ok:
                _use(report, server, model, points, seed)
        finally:
            server.stop()


def _use(report: Report, server: Cluster, model: object, points: set[str], seed: int) -> None:
    if "1" in points:
        checks: list[tuple[str, Callable[[Cluster], tuple[str, bool]]]] = [
            ("a logged-out token is refused by every replica within 1 s", flow.revocation),
            ("a refresh token used twice ends its family", flow.refresh_reuse),
            ("five wrong passwords lock an account", flow.lockout),
            ("a rotated signing key logs nobody out", flow.rotation),
        ]
        for what, check in checks:
            with report.point(f"1. {what}") as outcome:
                outcome.figure, outcome.ok = check(server)
    kb = server.base("prove")
    if "4" in points:
        with report.point("4. questions repeated while gateway replicas are killed") as outcome:
            outcome.figure, outcome.ok = repeat_while_replicas_die(server, kb, CLIENTS, QUESTIONS, seed)
    if "5" in points:
        with report.point("5. the same load while Redis and PostgreSQL are killed") as outcome:
            lines = lose_engines(server, kb, CLIENTS, seed)
            outcome.ok = all(ok for *_, ok in lines)
            outcome.figure = "".join(
                f"\n      {'ok  ' if ok else 'FAIL'} {what}: {figure}" for what, figure, ok in lines
            )
    if "6" in points:
        model.reset(SENTENCE * 12, delay=0.02, piece=4)  # type: ignore[attr-defined]
        with report.point(f"6. streams cut at a random byte and resumed {CUTS} times") as outcome:
            outcome.figure, outcome.ok = cut_and_resume(server, kb, CUTS, seed)


def _flow_tests(report: Report) -> None:
    with report.point("1. flow 1 as drawn, by its tests against the real application") as outcome:
        command = [sys.executable, "-m", "pytest", *FLOW_TESTS, "--no-header"]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
        outcome.ok = done.returncode == 0
        outcome.figure = (done.stdout.strip().splitlines() or ["no output"])[-1]


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:]) or set("123456"), int(os.environ.get("SEED") or random.randrange(10**6))))
