"""`make prove-router`: any model, one price list, with real processes, one line a point.

    python -m tests.prove.router [--only breaker,race] [--list]

Flow 5 and budgets run on an instance with two gateway replicas whose models are upstream processes; the official
client's script on one with its own models. SEED in the environment repeats a run. State lies in a temporary folder. The
exit status is 1 if any point fails.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import openai

from tests.prove import router_budgets, router_flow, router_users
from tests.prove.report import Report
from tests.prove.router_openai import Names, steps
from tests.prove.router_server import RouterCluster, World, running_world
from voicehelper.telemetry import configure_logging

KB = "prove"
QUESTION = "退款申请通过后，款项会在几个工作日内退回？"


@dataclass(frozen=True)
class Point:
    """`check` gives the figure and whether it holds."""

    name: str
    what: str
    check: Callable[[World], tuple[str, bool]]


def points(folder: Path, seed: int) -> tuple[Point, ...]:
    """Those of the light instance, in an order in which one does not disturb the next."""
    flow, budgets, users = router_flow, router_budgets, router_users
    return (
        Point("strategies", "1. cheapest, fastest, best_quality, named", flow.strategies),
        Point("experiment", "1. an experiment's users are served by their variant", flow.experiment),
        Point("streams", "1. a stream that breaks before and after its first word", flow.broken_streams),
        Point("breaker", "1. a breaker opens and closes, seen by both replicas", flow.breaker),
        Point("unhealthy", "1. the preferred model is found dead by probes", flow.unhealthy),
        Point("catalogue", "1. changes of the catalogue reach both replicas in 5 s", flow.catalogue),
        Point("limits", "1. soft limit: cheaper, warned; hard limit: refused", budgets.soft_and_hard),
        Point("fallbacks", "1. no failed request while upstreams fail and die", flow.fallbacks),
        Point("redis", "1. without Redis", flow.without_redis),
        Point("users", "3. 100,000 users and their variants", partial(users.simulated, folder=folder)),
        Point("restart", "3. variants after all replicas were replaced", users.restarted),
        Point("race", "2. 200 calls at once against a budget", budgets.race),
        Point("costs", "2. cost by user, key, model, feature", budgets.costs),
        Point("books", "2. ledger and counters after kill -9 in the middle", partial(budgets.books, seed=seed)),
    )


OPENAI = "openai"


def main(only: Sequence[str], seed: int) -> int:
    configure_logging("CRITICAL")
    folder = Path(tempfile.mkdtemp(prefix="vh-prove-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    report = Report()
    print(f"state and log in {folder}, seed {seed}", flush=True)
    chosen = [point for point in points(folder, seed) if not only or point.name in only]
    if chosen:
        _light(report, folder, chosen)
    if not only or OPENAI in only:
        _whole(report, folder)
    if report.failed:
        print(f"\n{len(report.failed)} failed: " + "; ".join(report.failed) + f"\nkept {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print("\nall passed")
    return 0


def _light(report: Report, folder: Path, chosen: Sequence[Point]) -> None:
    server = RouterCluster(folder / "home", folder / "log", model_url="")
    with running_world(server) as world:
        with report.point("0. an instance with two gateway replicas, and four upstreams") as outcome:
            seconds = server.start()
            world.add_models()
            outcome.figure, outcome.ok = f"ready after {seconds:.0f} s", True
        if not outcome.ok:
            return
        for point in chosen:
            with report.point(point.what) as outcome:
                outcome.figure, outcome.ok = point.check(world)


def _whole(report: Report, folder: Path) -> None:
    """The official client against the instance's own models; tools go to an upstream, the local model is too small."""
    server = RouterCluster(folder / "whole", folder / "whole.log", model_url="", whole=True)
    with running_world(server) as world:
        with report.point("4. an instance with its own models and a knowledge base") as outcome:
            seconds = server.start()
            world.add_models()
            server.base(KB)
            outcome.figure, outcome.ok = f"ready after {seconds:.0f} s", True
        if not outcome.ok:
            return
        names = Names(local_model(world), "silver", KB, QUESTION, embedder(world))
        _, key = world.make_key("openai", "models:use", "knowledge:read")
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=120) as client:
            for what, step in steps(client, names).items():
                with report.point(f"4. the official client: {what}") as outcome:
                    outcome.figure, outcome.ok = step(), True


def local_model(world: World) -> str:
    """The name of the instance's own language model."""
    listed = world.api.get("/api/v1/models", params={"limit": 200}).raise_for_status().json()["items"]
    return str(next(model["name"] for model in listed if model["owner"] == "instance"))


def embedder(world: World) -> str:
    """The name of its own embedding model."""
    listed = world.api.get("/v1/models").raise_for_status().json()["data"]
    return str(next(model["id"] for model in listed if "e5" in model["id"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of points, with commas between")
    parser.add_argument("--list", action="store_true", help="show the points' names")
    given = parser.parse_args()
    known = [*(point.name for point in points(Path(), 0)), OPENAI]
    given.only = [name for name in given.only.split(",") if name]
    if unknown := set(given.only) - set(known):
        parser.error(f"no such point: {sorted(unknown)}; there are {', '.join(known)}")
    if given.list:
        print("\n".join(known))
        sys.exit(0)
    return given


if __name__ == "__main__":
    sys.exit(main(_arguments().only, int(os.environ.get("SEED") or random.randrange(10**6))))
