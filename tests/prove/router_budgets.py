"""Point 2, and the budgets of point 1: never a micro-dollar over, and the books agree whatever is killed."""

import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx

from tests.prove.router_server import FAST, PRICES, Answer, World
from tests.prove.router_upstream import COMPLETION_TOKENS, PROMPT_TOKENS
from tests.prove.server import wait_until

CALLS = 200
PAYS_FOR = 50
LOAD_S = 30.0
CLIENTS = 12
_MOST_OF_GOLD = 5_000  # micro-dollars, roughly: what one call could cost is what is set aside
_KNOWN_S = 5.0  # within so long every replica knows of a new limit
_EVERY_SUBJECT = "SELECT coalesce(sum(cost_micros), 0)::bigint AS micros, count(*) AS calls FROM usage_ledger"

Verdict = tuple[str, bool]


def price(model: str) -> int:
    """Micro-dollars of one call of an upstream."""
    prompt, completion = PRICES[model]
    return -(-(PROMPT_TOKENS * prompt + COMPLETION_TOKENS * completion) // 1_000_000)


def limit(world: World, kind: str, subject_id: str | None = None, **limits: int) -> str:
    """A budget that every replica knows of; its id."""
    body = {"kind": kind, "subject_id": subject_id, **limits}
    made = world.api.post("/api/v1/budgets", json=body)
    assert made.status_code == 201, f"{made.status_code} {made.text[:300]}"
    time.sleep(_KNOWN_S)
    return str(made.json()["id"])


def soft_and_hard(world: World) -> Verdict:
    """Beyond the soft limit a cheaper model answers, with a warning; beyond the hard one nobody, in OpenAI's words."""
    world.heal()
    key_id, key = world.make_key("soft")
    limit(world, "key", key_id, soft_micros=_MOST_OF_GOLD * 3 // 2, hard_micros=_MOST_OF_GOLD * 10)
    answers = [world.ask("gold", key=key)]
    while len(answers) < 20 and not answers[-1].warnings:
        answers.append(world.ask("gold", key=key))
    first, soft = answers[0], answers[-1]
    hard_id, hard_key = world.make_key("hard")
    limit(world, "key", hard_id, hard_micros=1)
    hard = world.ask("gold", key=hard_key)
    streamed = world.ask("gold", key=hard_key, stream=True)
    degraded = soft.ok and soft.model in {"bronze", "silver"} and bool(soft.warnings)
    refused = all(a.status == 429 and a.error.get("code") == "insufficient_quota" for a in (hard, streamed))
    figure = (
        f"{len(answers) - 1} by {first.model}, then {soft.model} with {soft.warnings};"
        f" hard: {hard.status} {hard.error.get('code')}"
    )
    return figure, first.model == "gold" and not first.warnings and degraded and refused


def race(world: World) -> Verdict:
    """200 calls at once against a budget that pays for 50; then one by one, to its end."""
    world.heal()
    key_id, key = world.make_key("race")
    budget = PAYS_FOR * price("silver")
    world.add_model("alone", "silver")  # without anybody cheaper to fall back on
    limit(world, "key", key_id, hard_micros=budget)
    alone = {"model": "alone", "key": key, "max_tokens": COMPLETION_TOKENS * 2}
    for name in PRICES:
        world[name].be("ok", delay=0.3)
    before = _served(world)
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(lambda _: world.ask(**alone), range(CALLS)))
    at_once = sum(answer.ok for answer in answers)
    world.heal()
    for _ in range(PAYS_FOR * 10):
        answers.append(world.ask(**alone))
        if not answers[-1].ok:
            break
    spent = sum(int(answer.facts["cost_micros"]) for answer in answers if answer.ok)
    other = Counter(answer.error.get("code") for answer in answers if not answer.ok)
    ledger = _settled(world, "WHERE key_id = $1", key_id, spent)
    right = spent <= budget and ledger["micros"] == spent and set(other) == {"insufficient_quota"} and at_once > 0
    figure = (
        f"{at_once} served at once, {sum(a.ok for a in answers) - at_once} afterwards; {spent} of {budget} micros,"
        f" over by {max(0, spent - budget)}; ledger {ledger['micros']} in {ledger['calls']} rows;"
        f" the others {dict(other)}; upstreams served {_served(world) - before} (with those that looked on)"
    )
    return figure, right


def books(world: World, seed: int) -> Verdict:
    """kill -9 of a replica, Valkey and PostgreSQL while calls run; afterwards ledger and counters agree."""
    world.heal()
    key_id, key = world.make_key("books")
    limit(world, "key", key_id, hard_micros=10**12)
    stop, answers = time.monotonic() + LOAD_S, list[Answer]()

    def client(_: int) -> None:
        while time.monotonic() < stop:
            answer = world.ask(random.choice(list(PRICES)), key=key, stream=random.random() < 0.5)
            answers.append(answer)
            time.sleep(0.0 if answer.ok else 0.3)

    killer = threading.Thread(target=_killings, args=(world, stop, random.Random(seed)))
    killer.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    killer.join()
    wait_until(lambda: world.server.ready() and len(world.server.replicas()) == 2, 60)
    time.sleep(FAST["reservation_s"] + 3)  # what nobody settled expires
    world.heal(seconds=60)
    told = sum(int(answer.facts["cost_micros"]) for answer in answers if answer.ok and answer.facts)
    ledger = _rows(world, "WHERE key_id = $1", key_id)
    reconciled = reconcile(world)
    lost = (told - ledger["micros"]) / max(told, 1)
    figure = (
        f"{len(answers)} calls, {sum(a.ok for a in answers)} answered; ledger {ledger['micros']} micro-dollars in"
        f" {ledger['calls']} rows, callers were told {told} ({lost * 100:.2f} % not in the books); {reconciled[0]}"
    )
    return figure, reconciled[1] and ledger["calls"] > 0


def reconcile(world: World) -> Verdict:
    """What the command says: nothing to correct, and the exit status for it."""
    done = world.server.cli("budgets", "reconcile", timeout=120)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return f"reconciliation: exit {done.returncode}, {' / '.join(said[-3:])}", done.returncode == 0


def _killings(world: World, stop: float, dice: random.Random) -> None:
    """One after the other, each when the one before has come back."""
    for victim in ("replica", "valkey", "replica", "postgres"):
        time.sleep(dice.uniform(2.0, 4.0))
        if time.monotonic() > stop:
            return
        pids = world.server.replicas() if victim == "replica" else [world.server.engines()[victim]]
        if not pids:
            continue
        os.kill(dice.choice(pids), signal.SIGKILL)
        time.sleep(0.5)
        try:
            wait_until(world.server.ready, 20)
        except TimeoutError:
            return


def _served(world: World) -> int:
    return sum(world[name].count()["asked"] for name in PRICES)


def _settled(world: World, where: str, subject: str, micros: int) -> dict[str, Any]:
    """The ledger's sum once it is `micros`, or what it is after a while: rows come a second or two after the call."""

    def there() -> bool:
        return bool(_rows(world, where, subject)["micros"] == micros)

    with suppress(TimeoutError):
        wait_until(there, 15)
    return _rows(world, where, subject)


def _rows(world: World, where: str, subject: str) -> dict[str, Any]:
    return world.server.sql(f"{_EVERY_SUBJECT} {where}", subject)[0]


def usage(world: World, group: str) -> dict[str, int]:
    """Micro-dollars by user, model, feature ..., from the API."""
    reply: httpx.Response = world.api.get("/api/v1/usage", params={"group_by": group})
    return {row["group"]: row["cost_micros"] for row in reply.raise_for_status().json()["rows"]}


def costs(world: World) -> Verdict:
    """The sums by user, key, model and feature are the same, and the ledger's."""
    sums = {group: sum(usage(world, group).values()) for group in ("user", "key", "model", "feature")}
    ledger = _rows(world, "WHERE $1 <> ''", "all")
    return f"{sums}, ledger {ledger['micros']}", set(sums.values()) == {ledger["micros"]} and ledger["micros"] > 0
