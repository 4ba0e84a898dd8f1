"""Points 4 and 5: the load of `tenancy_load` while gateway replicas, Redis and PostgreSQL are killed."""

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

import httpx

from tests.prove.tenancy_load import REPEATS, Load, stored
from tests.prove.tenancy_server import REPLICAS, Cluster

KILL_EVERY_S = 8.0
OUTAGE_S = 10.0
CALM_S = 6.0
RECOVERY_S = 30.0


def repeat_while_replicas_die(server: Cluster, kb: str, clients: int, questions: int, seed: int) -> tuple[str, bool]:
    """Figure and verdict of point 4."""
    load, kills = asyncio.run(_under_kills(server, kb, clients, questions, seed))
    wrong = stored(server, load)
    rows = server.sql(
        "SELECT role, count(*) AS n FROM messages WHERE conversation_id = ANY($1::uuid[]) GROUP BY role",
        load.conversations,
    )
    counts = {row["role"]: row["n"] for row in rows}
    exact = counts.get("user") == questions and counts.get("assistant") == questions
    figure = (
        f"{clients} clients, {questions} questions x {REPEATS}, {kills} replicas killed: {counts.get('user', 0)} user"
        f" messages, {counts.get('assistant', 0)} answers, {len(wrong)} wrong {wrong[:3]};"
        f" retried: {_shown(load.tally.kinds())}"
    )
    return figure, exact and not wrong and kills >= REPLICAS


async def _under_kills(server: Cluster, kb: str, clients: int, questions: int, seed: int) -> tuple[Load, int]:
    load = Load(server, kb, clients, seed)
    try:
        await load.open()
        asking = asyncio.create_task(load.ask(questions))
        kills = 0
        await asyncio.sleep(1.0)
        while not asking.done() or kills < REPLICAS:
            alive = await asyncio.to_thread(server.replicas)
            if len(alive) < REPLICAS:  # the one killed before has not come back yet
                await asyncio.sleep(0.5)
                continue
            os.kill(alive[kills % len(alive)], signal.SIGKILL)
            kills += 1
            await asyncio.wait({asking}, timeout=KILL_EVERY_S)
        await asking
        return load, kills
    finally:
        await load.close()


@dataclass
class Outage:
    """One engine, or both, away."""

    names: tuple[str, ...]
    began: float = 0.0
    ended: float = 0.0
    recovered_s: float = -1.0


def lose_engines(server: Cluster, kb: str, clients: int, seed: int) -> list[tuple[str, str, bool]]:
    """What, figure and verdict of each line of point 5."""
    load, outages = asyncio.run(_under_outages(server, kb, clients, seed))
    wrong = stored(server, load)
    acknowledged = sum(one.acknowledged > 0 for one in load.tally.asked)
    lines = [
        (
            "nothing acknowledged was lost",
            f"{acknowledged} of {len(load.tally.asked)} questions acknowledged, {len(wrong)} wrong {wrong[:3]}",
            not wrong and acknowledged > 0,
        )
    ]
    for outage in outages:
        kinds = Counter(
            what for when, what in load.tally.errors if outage.began <= when <= outage.ended + RECOVERY_S / 2
        )
        bad = {what: n for what, n in kinds.items() if not _proper(what)}
        taken = sum(outage.began < one.acknowledged < outage.ended for one in load.tally.asked)
        figure = f"{taken} questions taken meanwhile, whole again {outage.recovered_s:.1f} s after; {_shown(kinds)}"
        figure += f"; NOT 503: {bad}" if bad else ""
        what = f"{' and '.join(outage.names)} away for {OUTAGE_S:.0f} s"
        lines.append((what, figure, not bad and 0 <= outage.recovered_s <= RECOVERY_S))
    return lines


def _proper(what: str) -> bool:
    """An error a client may see while an engine is away: 503 with Retry-After, or a stream that says so."""
    return what.startswith(("503 503", "stream: error 503"))


async def _under_outages(server: Cluster, kb: str, clients: int, seed: int) -> tuple[Load, list[Outage]]:
    load, stopped = Load(server, kb, clients, seed), asyncio.Event()
    outages = [Outage(("valkey",)), Outage(("postgres",)), Outage(("valkey", "postgres"))]
    try:
        await load.open()
        asking = asyncio.create_task(load.ask_until(stopped, pause_s=8.0))
        await asyncio.sleep(CALM_S)
        for outage in outages:
            outage.began = time.monotonic()
            with server.without(*outage.names):
                await asyncio.sleep(OUTAGE_S)
            outage.ended = time.monotonic()
            outage.recovered_s = await _recovery(server)
            await asyncio.sleep(CALM_S)
        stopped.set()
        await asking
        return load, outages
    finally:
        await load.close()


async def _recovery(server: Cluster) -> float:
    """Seconds until the server is whole and takes logins and writes again; -1 where it does not come back."""
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_S:
        try:
            ready = await asyncio.to_thread(server.ready)
            await asyncio.to_thread(_writes, server)
            if ready:
                return time.monotonic() - began
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.25)
    return -1.0


def _writes(server: Cluster) -> None:
    with server.api() as api:
        api.post("/api/v1/conversations", json={}).raise_for_status()


def _shown(kinds: Counter[str]) -> str:
    return ", ".join(f"{what} x{n}" for what, n in kinds.most_common(8)) or "no errors"
