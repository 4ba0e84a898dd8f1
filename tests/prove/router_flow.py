"""Point 1: every branch of flow 5 through HTTP, on two replicas, with upstreams that fail for real."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.prove.router_server import FAST, Answer, World
from tests.prove.server import wait_until

Verdict = tuple[str, bool]
LOAD_S = 20.0
CLIENTS = 32
_PROBES = 24
"""Requests after one another, each on its own connection: that one of two replicas gets none is unlikely (10^-7)."""


def strategies(world: World) -> Verdict:
    """Cheapest, best and named by their grades; fastest by what was measured, against the grades. The picture keeps the
    instance's own model, which is free and blind, out of it."""
    world.heal()
    world["bronze"].be("ok", delay=0.5)  # of the best speed class, and slow now
    world["gold"].be("ok", delay=0.8)
    for name in ("gold", "silver", "bronze"):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, name=name: world.ask(name), range(40)))  # type: ignore[misc]
    wanted = {"auto:cheapest": "bronze", "auto:best_quality": "gold", "auto:fastest": "silver", "silver": "silver"}
    found: dict[str, Counter[str]] = {}
    for model, best in wanted.items():
        _eventually(lambda model=model, best=best: _only(world, model, 8, best, image=True), 15)  # type: ignore[misc]
        found[model] = Counter(answer.model for answer in world.ask_all(model, 8, image=True))
    free = Counter(answer.model for answer in world.ask_all("auto:cheapest", 4))
    world.heal()
    right = all(found[model] == {best: 8} for model, best in wanted.items())
    return f"{ {m: dict(c) for m, c in found.items()} }; without a picture, cheapest: {dict(free)}", right


def experiment(world: World) -> Verdict:
    """Users of both variants are served by their variant's model, always the same, as the assignment says."""
    made = _start_experiment(world, "prove-flow", {"a": "gold", "b": "bronze"})
    try:
        return _served_by_variant(world, made)
    finally:
        _stop_experiment(world, made)


def _served_by_variant(world: World, made: dict[str, str]) -> Verdict:
    tokens = [_user(world, number) for number in range(10)]
    wrong, seen = [], Counter[str]()
    _eventually(lambda: all(world.ask("silver", key=token).facts.get("variant") for _, token in tokens[:4]), 10)
    for user_id, token in tokens:
        answers = world.ask_all("silver", 4, key=token)
        path = f"/api/v1/experiments/{made['id']}/assignment"
        given = world.api.get(path, params={"user_id": user_id}).json()["variant"]
        models = {answer.model for answer in answers} | {answer.facts.get("variant", "") for answer in answers}
        seen[given] += 1
        if models != {given, {"a": "gold", "b": "bronze"}[given]}:
            wrong.append(f"{given}: {models}")
    outcome = _results(world, made["id"])
    counted = sum(variant["calls"] for variant in outcome["variants"])
    return f"10 users x 4 calls, {dict(seen)}, wrong {wrong[:3]}; results count {counted} calls", (
        not wrong and len(seen) == 2 and counted >= 40
    )


def unhealthy(world: World) -> Verdict:
    """An upstream dies while nobody calls it: probes find out, and the other is chosen without trying it. The entry
    is free of charge, as those of one's own machines are: a paid model that is well is probed less often."""
    world.heal()
    made = world.add_model("spare", "gold", price={}, fallbacks=["silver"])
    world["gold"].kill()
    time.sleep(FAST["probe_s"] * (FAST["probe_failures"] + 1) + 4)  # nobody calls it
    answers = world.ask_all("spare", 12)
    world.api.delete(f"/api/v1/models/{made['id']}").raise_for_status()
    world.heal(seconds=60)
    right = all(answer.ok and answer.model == "silver" and _skipped(answer, "spare") for answer in answers)
    return f"nobody called it; then {dict(Counter(a.model for a in answers))}, first tried {answers[0].tried}", right


def breaker(world: World) -> Verdict:
    """Failures open it; while it is open no replica calls the model, though that is well again; trials close it."""
    world.heal()
    before = world.server.served()
    world["gold"].be("500")
    opened = _eventually(lambda: all(_skipped(answer, "gold") for answer in world.ask_all("gold", 6)), 30)
    world["gold"].be("ok")
    calls, asked = world["gold"].count()["asked"], world.server.served()
    held: list[Answer] = []
    while len(held) < _PROBES and (not held or _skipped(held[-1], "gold")):
        held.append(world.ask("gold"))
    kept = [answer for answer in held if _skipped(answer, "gold")]
    on_each = world.server.took_part(asked)
    reached = world["gold"].count()["asked"] - calls
    closed = _eventually(lambda: _only(world, "gold", 8, "gold"), 30)
    after = world.server.served()
    well = world.ask_all("gold", _PROBES)
    both = world.server.took_part(after)
    right = (
        all(answer.ok for answer in held + well)
        and len(kept) >= 12
        and reached <= len(held) - len(kept)
        and all(answer.model == "gold" for answer in well)
        and min(on_each) > 0
        and min(both) > 0
        and len(before) == 2
    )
    return (
        f"open after {opened:.1f} s; then {len(kept)} requests on replicas {on_each} without a call to it;"
        f" closed after {closed:.1f} s more, {len(well)} requests on {both} answered by it"
    ), right


def fallbacks(world: World) -> Verdict:
    """32 clients for 20 s, while two of three upstreams answer 429 and 500, break streams, hang up, and are killed."""
    world.heal()
    stop, answers = time.monotonic() + LOAD_S, list[Answer]()

    def client(number: int) -> None:
        while time.monotonic() < stop:
            answers.append(world.ask("gold", stream=number % 2 == 0))

    trouble = threading.Thread(target=_trouble, args=(world, stop))
    trouble.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    trouble.join()
    failed = [f"{answer.status} {answer.error}"[:160] for answer in answers if not answer.ok]
    spoken = [answer for answer in answers if answer.ok and "three." not in answer.text]
    by = Counter(answer.model for answer in answers if answer.ok)
    outcomes = Counter(why for answer in answers for _, why in answer.tried if why != "answered")
    slowest = max((answer.seconds for answer in answers), default=0.0)
    world.heal(seconds=60)
    figure = (
        f"{len(answers)} requests, {len(failed)} failed {failed[:3]}, {len(spoken)} not whole; answered by {dict(by)};"
        f" on the way {dict(outcomes.most_common(8))}; slowest {slowest:.1f} s"
    )
    return figure, not failed and not spoken and len(answers) > CLIENTS and len(outcomes) > 1


def _trouble(world: World, stop: float) -> None:
    """Bronze stays well; the two before it do not."""
    steps: list[Callable[[], None]] = [
        lambda: world["gold"].be("chaos"),
        lambda: world["silver"].be("chaos"),
        world["gold"].kill,
        lambda: world["gold"].be("429"),
        lambda: world["silver"].be("500"),
        lambda: world["gold"].be("break_after"),
        world["silver"].kill,
        lambda: world["silver"].be("ok"),
        lambda: world["gold"].be("break_first"),
        lambda: world["gold"].be("hang_up"),
    ]
    for step in steps:
        step()
        time.sleep(max(0.0, min(LOAD_S / len(steps), stop - time.monotonic())))


def broken_streams(world: World) -> Verdict:
    """Broken before the first word: not to be seen. After it: finished by another model, from where it stopped."""
    world.heal()
    world["gold"].be("break_first")
    first = world.ask("gold", stream=True)
    world["gold"].be("break_after")
    after = world.ask("gold", stream=True)
    world.heal()
    unseen = first.ok and first.model == "silver" and "gold" not in first.text and first.tried[0][0] == "gold"
    went_on = after.ok and after.model == "silver" and after.text.startswith("I am gold.")
    went_on = went_on and "continued_elsewhere" in after.warnings
    return f"before: {first.text!r} by {first.tried}; after: {after.text!r} by {after.tried} {after.warnings}", (
        unseen and went_on
    )


def catalogue(world: World) -> Verdict:
    """A new model, and then another address of it, reach both replicas within 5 s."""
    made = world.add_model("fresh", "bronze")
    new_s = _spread(world, lambda answer: answer.ok)
    change = {"version": made["version"], "base_url": world["silver"].url, "remote": "silver"}
    world.api.patch(f"/api/v1/models/{made['id']}", json=change).raise_for_status()
    changed_s = _spread(world, lambda answer: "I am silver" in answer.text)
    reply = world.api.delete(f"/api/v1/models/{made['id']}")
    gone_s = _spread(world, lambda answer: answer.status == 404)
    figure = (
        f"new after {new_s:.2f} s, changed after {changed_s:.2f} s, gone after {gone_s:.2f} s ({reply.status_code})"
    )
    return figure, max(new_s, changed_s, gone_s) < 5


def _spread(world: World, knows: Callable[[Answer], bool]) -> float:
    """Seconds until the last answer of a replica that did not know; both have answered since."""
    started, last = time.monotonic(), 0.0
    known, before = 0, world.server.served()
    while known < _PROBES or min(world.server.took_part(before)) == 0:
        if time.monotonic() - started > 20:
            return 99.0
        if knows(world.ask("fresh")):
            known += 1
            continue
        last, known, before = time.monotonic() - started, 0, world.server.served()
    return last


def without_redis(world: World) -> Verdict:
    """Valkey is killed and stays away: callers without limits are answered, breakers open and close all the same."""
    world.heal()
    with world.server.without("valkey"):
        answers = world.ask_all("gold", _PROBES)
        world["gold"].be("500")
        opened = _eventually(lambda: all(_skipped(answer, "gold") for answer in world.ask_all("gold", 8)), 40)
        others = world.ask_all("gold", 8)
        world["gold"].be("ok")
        closed = _eventually(lambda: _only(world, "gold", 8, "gold"), 40)
    wait_until(world.server.ready, 60)
    failed = [f"{a.status} {a.error}"[:160] for a in answers + others if not a.ok]
    slowest = max(answer.seconds for answer in answers)
    figure = f"{len(answers + others)} requests, failed {failed[:3]}, slowest {slowest:.2f} s;"
    return f"{figure} open after {opened:.1f} s, closed after {closed:.1f} s", not failed


def _skipped(answer: Answer, model: str) -> bool:
    """Whether `model` was not called for this answer, because it is out."""
    return answer.ok and answer.model != model and all(tried != model or why == "open" for tried, why in answer.tried)


def _only(world: World, model: str, times: int, answering: str, **how: bool) -> bool:
    return all(answer.ok and answer.model == answering for answer in world.ask_all(model, times, **how))


def _eventually(holds: Callable[[], bool], seconds: float) -> float:
    """Seconds until it did; `inf` where it never does, so that the figure shows it. The point judges by the rest."""
    try:
        return wait_until(holds, seconds)
    except TimeoutError:
        return float("inf")


def _start_experiment(world: World, name: str, variants: dict[str, str]) -> dict[str, str]:
    """A running one on `silver`, users divided evenly."""
    body = {
        "name": name,
        "target": {"kind": "model", "name": "silver"},
        "variants": [{"name": key, "weight": 1, "models": [model]} for key, model in variants.items()],
    }
    made = world.api.post("/api/v1/experiments", json=body)
    assert made.status_code == 201, made.text[:300]
    version = {"version": made.json()["version"]}
    started = world.api.post(f"/api/v1/experiments/{made.json()['id']}/start", json=version)
    assert started.status_code == 200, started.text[:300]
    found: dict[str, str] = started.json()
    return found


def _stop_experiment(world: World, made: dict[str, str]) -> None:
    version = world.api.get(f"/api/v1/experiments/{made['id']}").json()["version"]
    path = f"/api/v1/experiments/{made['id']}/stop"
    world.api.post(path, json={"version": version, "reason": "proven"}).raise_for_status()


def _results(world: World, experiment_id: str) -> dict[str, list[dict[str, int]]]:
    """Once all calls are counted: outcomes are written within a second or two."""
    path, found = f"/api/v1/experiments/{experiment_id}/results", {}

    def counted() -> bool:
        found.update(world.api.get(path).raise_for_status().json())
        return sum(variant["calls"] for variant in found["variants"]) >= 40

    _eventually(counted, 10)
    return found


def _user(world: World, number: int) -> tuple[str, str]:
    """A new user's id and token."""
    email, password = f"prove-{number}-{time.time_ns()}@example.com", "Zhun1-Bei2-Hao3"
    body = {"name": f"prove {number}", "email": email, "password": password}
    made = world.api.post("/api/v1/users", json=body)
    assert made.status_code == 201, made.text[:300]
    reply = httpx.post(
        f"{world.server.url}/api/v1/auth/login",
        json={"email": email, "password": password},
        trust_env=False,
        timeout=30,
    )
    return made.json()["id"], reply.raise_for_status().json()["access_token"]
