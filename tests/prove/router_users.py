"""Point 3: a hundred thousand users and the weights, in processes of their own on the instance's engines.

python -m tests.prove.router_users HOME TENANT MODEL COUNT FILE     # one such process: a byte for each user's variant
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from deployments.experiments import experiments
from deployments.wiring import Nodes
from tests.prove.router_server import World
from tests.prove.server import ROOT
from voicehelper.config import Settings
from voicehelper.models.model import Caller
from voicehelper.telemetry import configure_logging

USERS = 100_000
SAMPLE = 300
WEIGHTS = {"control": 50, "cheap": 30, "quick": 20}
NAMES = list(WEIGHTS)
TOLERANCE = 0.005
_PATIENCE_S = 30.0


def simulated(world: World, folder: Path) -> tuple[str, bool]:
    """Two processes at once and a third after them, each with the product's own assignment on the real stores."""
    made = _start(world)
    try:
        return _compared(world, folder, made)
    finally:
        _stop(world, made)


def _compared(world: World, folder: Path, made: dict[str, Any]) -> tuple[str, bool]:
    tenant = str(world.server.sql("SELECT tenant_id FROM experiments WHERE id = $1", made["id"])[0]["tenant_id"])
    first, second = _run(world, tenant, folder, "a", "b")
    (again,) = _run(world, tenant, folder, "c")
    counts = Counter(first)
    shares = {name: counts[place] / len(first) for place, name in enumerate(NAMES)}
    total = sum(WEIGHTS.values())
    worst = max(abs(shares[name] - weight / total) for name, weight in WEIGHTS.items())
    sampled, pids = _sample(world, made["id"], first)
    figure = (
        f"{len(first)} users: { ({name: round(share, 4) for name, share in shares.items()}) }, off by"
        f" {worst * 100:.2f} % at most; two processes alike: {first == second}; another one later: {first == again};"
        f" {SAMPLE} of them asked of replicas {pids}: {sampled} unlike"
    )
    alike = first == second == again and len(first) == USERS
    return figure, alike and worst <= TOLERANCE and sampled == 0 and min(pids) > 0


def restarted(world: World) -> tuple[str, bool]:
    """Who has which variant is the same after every gateway replica was replaced."""
    made = _start(world)
    try:
        before = _variants(world, made["id"])
        pids = set(world.server.replicas())
        world.server.kill_replicas()
        after = _variants(world, made["id"])
    finally:
        _stop(world, made)
    changed = sum(before[user] != after[user] for user in before)
    renewed = not pids & set(world.server.replicas())
    return f"{len(before)} users, {changed} changed; replicas are others: {renewed}", changed == 0 and renewed


def _variants(world: World, experiment_id: str) -> dict[str, str]:
    return {f"user-{n}": _asked(world, experiment_id, f"user-{n}") for n in range(SAMPLE)}


def _sample(world: World, experiment_id: str, assigned: bytes) -> tuple[int, list[int]]:
    """How many of a sample the API gives another variant, and how many requests each replica has answered for it."""
    before = world.server.served()
    step = len(assigned) // SAMPLE
    wrong = sum(_asked(world, experiment_id, f"user-{n}") != NAMES[assigned[n]] for n in range(0, step * SAMPLE, step))
    return wrong, world.server.took_part(before)


def _asked(world: World, experiment_id: str, user: str) -> str:
    """On a connection of its own, so that every replica gets some."""
    path = f"/api/v1/experiments/{experiment_id}/assignment"
    reply = world.api.get(path, params={"user_id": user}, headers={"Connection": "close"})
    return str(reply.raise_for_status().json()["variant"])


def _run(world: World, tenant: str, folder: Path, *names: str) -> list[bytes]:
    """These processes at the same time; what each assigned."""
    files = [folder / f"assigned-{name}" for name in names]
    command = [sys.executable, "-m", "tests.prove.router_users", str(world.server.home), tenant, "silver", str(USERS)]
    environment = dict(world.server.environment)
    running = [subprocess.Popen([*command, str(file)], cwd=ROOT, env=environment) for file in files]
    for process in running:
        if process.wait(240):
            raise RuntimeError(f"a process ended with {process.returncode}")
    return [file.read_bytes() for file in files]


def _start(world: World) -> dict[str, Any]:
    variants = [{"name": name, "weight": weight} for name, weight in WEIGHTS.items()]
    body = {
        "name": f"prove-users-{time.time_ns()}",
        "target": {"kind": "model", "name": "silver"},
        "variants": [
            variant | ({} if variant["name"] == "control" else {"models": ["bronze"]}) for variant in variants
        ],
    }
    made = world.api.post("/api/v1/experiments", json=body)
    assert made.status_code == 201, made.text[:300]
    path = f"/api/v1/experiments/{made.json()['id']}/start"
    started: dict[str, Any] = world.api.post(path, json={"version": made.json()["version"]}).raise_for_status().json()
    time.sleep(3)  # every replica knows of it within so long
    return started


def _stop(world: World, made: dict[str, Any]) -> None:
    version = world.api.get(f"/api/v1/experiments/{made['id']}").json()["version"]
    path = f"/api/v1/experiments/{made['id']}/stop"
    world.api.post(path, json={"version": version, "reason": "proven"}).raise_for_status()


async def assign(home: str, tenant: str, model: str, count: int, file: str) -> None:
    """Writes the place of each user's variant, one byte a user."""
    nodes = Nodes(Settings(home=Path(home)), {})
    caller = UUID(tenant)
    try:
        running = await experiments(nodes)
        async with asyncio.timeout(_PATIENCE_S):
            while await running.assign(Caller(caller, user_id="first"), model) is None:  # noqa: ASYNC110 - it follows the database
                await asyncio.sleep(0.1)
        found = bytearray()
        for number in range(count):
            given = await running.assign(Caller(caller, user_id=f"user-{number}"), model)
            found.append(NAMES.index(given.variant) if given is not None else 255)
            if number % 1000 == 0:
                await asyncio.sleep(0)  # what it writes in the background gets its turn
        await asyncio.to_thread(Path(file).write_bytes, found)
    finally:
        await nodes.close()


if __name__ == "__main__":
    configure_logging("ERROR")
    asyncio.run(assign(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
