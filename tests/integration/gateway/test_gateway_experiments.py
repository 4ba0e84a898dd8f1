"""Experiments over HTTP: drafted, started, reweighed, stopped; with whom, and what came of them."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.integration.gateway.conftest import Harness
from voicehelper.events.catalogue import FeedbackGiven
from voicehelper.events.fact import new_event
from voicehelper.models.experiments.model import Experiment
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.model import Caller, Settlement
from voicehelper.ports.chat import ChatUsage
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.assignments import RedisAssignments
from voicehelper.stores.postgres.experiments_feedback import PostgresExperimentFeedback
from voicehelper.stores.redis import connect_redis

API = "/api/v1/experiments"
DRAFT: dict[str, Any] = {
    "name": "cheaper",
    "target": {"kind": "model", "name": "auto"},
    "variants": [
        {"name": "control", "weight": 50},
        {"name": "cheap", "weight": 50, "models": ["small"], "overrides": {"max_tokens": 100}},
    ],
    "guard_rails": [{"metric": "success", "margin": 0.02}, {"metric": "ms", "statistic": "p95", "factor": 1.5}],
}


async def created(harness: Harness, **values: Any) -> dict[str, Any]:
    response = await harness.http.post(API, json=DRAFT | values)
    assert response.status_code == 201, response.text
    return dict(response.json())


async def act(harness: Harness, experiment: dict[str, Any], verb: str, **values: Any) -> httpx.Response:
    body = {"version": experiment["version"], **values}
    return await harness.http.post(f"{API}/{experiment['id']}/{verb}", json=body)


async def running(harness: Harness, redis_url: str) -> RunningExperiments:
    """A process that serves what runs now."""
    desk = harness.services.experiments
    assert desk is not None
    cache = RedisAssignments(connect_redis(redis_url))
    made = RunningExperiments(desk.assignments, cache, desk.collector, SystemClock(), 86_400)
    made.replace(await desk.store.find(harness.admin.tenant_id, "running", None, 100))
    return made


async def flush(harness: Harness) -> None:
    assert harness.services.experiments is not None
    await harness.services.experiments.collector.flush()


async def test_the_life_of_an_experiment(harness: Harness) -> None:
    draft = await created(harness)
    assert (draft["status"], draft["version"], draft["goal"], draft["weights_since"]) == ("draft", 1, "more", None)
    assert draft["variants"][1]["overrides"] == {"max_tokens": 100}
    changed = await harness.http.patch(
        f"{API}/{draft['id']}", json={"version": 1, "primary_metric": "cost_micros", "traffic": 0.5}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["goal"], changed.json()["traffic"], changed.json()["version"]) == ("less", 0.5, 2)
    started = await act(harness, changed.json(), "start")
    assert started.status_code == 200, started.text
    assert started.json()["status"] == "running" and started.json()["started_at"]
    body = {"version": 3, "weights": {"control": 10, "cheap": 90}, "traffic": 1}
    weighed = await harness.http.put(f"{API}/{draft['id']}/weights", json=body)
    assert weighed.status_code == 200, weighed.text
    assert [one["weight"] for one in weighed.json()["variants"]] == [10, 90]
    assert (weighed.json()["weights_revision"], weighed.json()["traffic"]) == (2, 1)
    stopped = await act(harness, weighed.json(), "stop", reason="enough seen")
    assert (stopped.json()["status"], stopped.json()["reason"]) == ("stopped", "enough seen")
    listed = await harness.http.get(API, params={"status": "stopped"})
    assert [one["id"] for one in listed.json()["items"]] == [draft["id"]]
    assert (await harness.http.delete(f"{API}/{draft['id']}")).status_code == 204
    assert (await harness.http.get(f"{API}/{draft['id']}")).status_code == 404
    log = await harness.http.get("/api/v1/audit-logs", params={"resource": "experiment"})
    actions = [one["action"].removeprefix("experiment.") for one in log.json()["items"]]
    assert actions == ["deleted", "stopped", "weights_changed", "started", "changed", "created"]
    facts = await harness.pool.fetch("SELECT type FROM outbox WHERE type LIKE 'experiment.%' ORDER BY seq")
    assert [row["type"] for row in facts] == ["experiment.started", "experiment.stopped"]


async def test_what_is_refused(harness: Harness) -> None:
    draft = await created(harness)
    path = f"{API}/{draft['id']}"
    assert (await harness.http.post(API, json=DRAFT)).json()["code"] == 40901
    assert (await act(harness, draft, "stop")).json()["code"] == 40901
    assert (await act(harness, draft | {"version": 7}, "start")).json()["code"] == 40903
    body = {"version": 1, "weights": {"control": 1, "cheap": 1}}
    assert (await harness.http.put(f"{path}/weights", json=body)).json()["code"] == 40901
    started = (await act(harness, draft, "start")).json()
    assert (await harness.http.patch(path, json={"version": 2, "name": "x"})).json()["code"] == 40901
    assert (await harness.http.delete(path)).json()["code"] == 40901
    twin = await created(harness, name="on the same calls")
    refused = await act(harness, twin, "start")
    assert refused.json()["code"] == 40901
    other = await created(harness, name="on others", target={"kind": "feature", "name": "answer"})
    assert (await act(harness, other, "start")).status_code == 200
    for weights in ({"control": 1}, {"control": 1, "cheap": 1, "x": 1}, {"control": 0, "cheap": 0}):
        body = {"version": started["version"], "weights": weights}
        assert (await harness.http.put(f"{path}/weights", json=body)).status_code == 400
    assert (await harness.http.get(f"{API}/{uuid4()}")).json()["code"] == 40401


@pytest.mark.parametrize(
    "change",
    [
        {"variants": DRAFT["variants"][:1]},
        {"variants": [DRAFT["variants"][0]] * 2},
        {"variants": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]},
        {"variants": [{"name": "a", "weight": -1}, {"name": "b", "weight": 2}]},
        {"target": {"kind": "model"}},
        {"target": {"kind": "all", "name": "auto"}},
        {"traffic": 1.5},
        {"guard_rails": [{"metric": "success", "factor": 2}]},
        {"guard_rails": [{"metric": "cost_micros", "margin": 0.1}]},
        {"guard_rails": [{"metric": "tokens", "statistic": "p95"}]},
        {"primary_metric": "Not a metric"},
        {"unknown": 1},
    ],
)
async def test_bad_drafts(harness: Harness, change: dict[str, Any]) -> None:
    assert (await harness.http.post(API, json=DRAFT | change)).status_code == 400


async def test_repeated_with_its_key_a_write_happens_once(harness: Harness) -> None:
    headers = {"Idempotency-Key": "k1"}
    one, again = [await harness.http.post(API, json=DRAFT, headers=headers) for _ in range(2)]
    assert one.json() == again.json() and again.status_code == 201


async def test_who_may(harness: Harness) -> None:
    draft = await created(harness)
    member = harness.client(await harness.user("default", "m@example.com", "member"))
    stranger = harness.client(await harness.user("other", "o@example.com"))
    assert (await member.get(API)).status_code == 403
    assert (await stranger.get(f"{API}/{draft['id']}")).json()["code"] == 40401
    assert (await stranger.post(f"{API}/{draft['id']}/start", json={"version": 1})).json()["code"] == 40401
    assert (await stranger.get(f"{API}/{draft['id']}/results")).json()["code"] == 40401
    assert (await stranger.get(API)).json()["items"] == []
    await member.aclose()
    await stranger.aclose()


def served(ms: float, outcome: str = "answered") -> Settlement:
    return Settlement(ChatUsage(10, 5), 700, outcome, ms, ms / 4)


async def serve(harness: Harness, redis_url: str) -> dict[str, list[str]]:
    """Forty users, ten calls each; `cheap` is slower. Returns users by variant."""
    live, who = await running(harness, redis_url), dict[str, list[str]](control=[], cheap=[])
    for n in range(40):
        caller = Caller(harness.admin.tenant_id, f"user-{n}" if n else str(harness.admin.id))
        for call in range(10):
            assignment = await live.assign(caller, "auto")
            assert assignment is not None
            ms = (300.0 if assignment.variant == "control" else 900.0) + 10 * call + n
            live.outcome(caller, assignment, served(ms))
        who[assignment.variant].append(caller.user_id)
    await flush(harness)
    return who


async def test_results(harness: Harness, redis_url: str) -> None:
    draft = await created(harness, primary_metric="ms")
    assert (await act(harness, draft, "start")).status_code == 200
    who = await serve(harness, redis_url)
    results = (await harness.http.get(f"{API}/{draft['id']}/results")).json()
    control, cheap = results["variants"]
    assert (control["users"], cheap["users"]) == (len(who["control"]), len(who["cheap"]))
    assert (control["calls"], cheap["calls"]) == (10 * len(who["control"]), 10 * len(who["cheap"]))
    assert control["metrics"]["success"]["mean"] == 1 and control["metrics"]["success"]["interval"]["low"] > 0.8
    slower = cheap["metrics"]["ms"]["against"]
    assert 500 < slower["interval"]["low"] < slower["value"] < slower["interval"]["high"] < 700
    assert slower["p"] < 1e-6
    assert 850 < cheap["metrics"]["ms"]["p95"] < 1100
    assert (results["leader"], results["certain"], results["goal"]) == ("control", True, "less")
    assert results["warnings"] == ["small_sample"] and not results["mismatch"]["found"]


async def test_one_users_variant_and_what_he_did_later(harness: Harness, redis_url: str) -> None:
    draft = await created(harness)
    path = f"{API}/{draft['id']}"
    admin = {"user_id": str(harness.admin.id)}
    unseen = (await harness.http.get(f"{path}/assignment", params=admin)).json()
    assert unseen["given"] is False and unseen["variant"] in {"control", "cheap"}
    assert (await act(harness, draft, "start")).status_code == 200
    who = await serve(harness, redis_url)
    seen = (await harness.http.get(f"{path}/assignment", params=admin)).json()
    assert seen["given"] and seen["variant"] == unseen["variant"] and seen["until"] > seen["given_at"]
    unknown = await harness.http.get(f"{path}/assignment", params={"user_id": str(uuid4())})
    assert unknown.json()["code"] == 40401
    for user in who["cheap"]:
        told = {"user_id": user, "metric": "sold", "value": 2.5}
        response = await harness.http.post(f"{path}/outcomes", json=told)
        assert (response.status_code, response.json()) == (202, {"variant": "cheap"}), response.text
    nobody = {"user_id": "nobody", "metric": "sold", "value": 1}
    assert (await harness.http.post(f"{path}/outcomes", json=nobody)).json()["code"] == 40901
    for bad in ({"metric": "success"}, {"metric": "feedback", "value": 3}, {"value": 1e300}):
        assert (await harness.http.post(f"{path}/outcomes", json=nobody | bad)).status_code == 400
    await flush(harness)
    results = (await harness.http.get(f"{path}/results")).json()
    sold = results["variants"][1]["metrics"]["sold"]
    assert (sold["n"], sold["mean"]) == (len(who["cheap"]), 2.5)


async def test_experiments_are_read_back_as_they_were_written(harness: Harness) -> None:
    desk = harness.services.experiments
    assert desk is not None
    draft = await created(harness)
    stored: Experiment = await desk.store.get(harness.admin.tenant_id, UUID(draft["id"]))
    assert stored.variants[1].models == ("small",) and stored.guard_rails[1].statistic == "p95"
    assert len(stored.salt) == 16


async def judged(harness: Harness, draft: dict[str, Any], variant: str, ratings: list[str]) -> None:
    """The administrator judges an answer that was part of the experiment, as the events tell it."""
    conversation = await harness.conversation()
    asked = await harness.http.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "退款多久到账"})
    answer = UUID(asked.json()["answer"]["id"])
    route = {"route": {"experiment": draft["name"], "variant": variant}}
    await harness.pool.execute("UPDATE messages SET metadata = $2 WHERE id = $1", answer, route)
    owner = harness.admin
    for rating in ratings:
        fact = FeedbackGiven(conversation_id=conversation, user_id=owner.id, message_id=answer, rating=rating)
        await PostgresExperimentFeedback(harness.pool).handle(new_event(owner.tenant_id, fact))


async def test_thumbs_count_once_and_erasure_takes_the_user_out(harness: Harness, redis_url: str) -> None:
    draft = await created(harness)
    assert (await act(harness, draft, "start")).status_code == 200
    await judged(harness, draft, "control", ["up"])
    assert await harness.pool.fetchval("SELECT count(*) FROM experiment_tallies") == 0, "he took no part yet"
    live = await running(harness, redis_url)
    assignment = await live.assign(Caller(harness.admin.tenant_id, str(harness.admin.id)), "auto")
    assert assignment is not None
    await flush(harness)
    await judged(harness, draft, assignment.variant, ["down", "down", "up"])
    await judged(harness, draft, assignment.variant, ["up"])
    await judged(harness, draft, "another", ["up"])
    counted = await harness.pool.fetchrow("SELECT variant, metric, n, total FROM experiment_tallies")
    assert dict(counted) == {"variant": assignment.variant, "metric": "feedback", "n": 2, "total": 1.0}
    other = await harness.user("default", "o@example.com", "member")
    await live.assign(Caller(other.tenant_id, str(other.id)), "auto")
    await flush(harness)
    assert await harness.pool.fetchval("SELECT count(*) FROM experiment_assignments") == 2
    erased = await harness.http.post(f"/api/v1/users/{other.id}/erase")
    assert erased.status_code == 200, erased.text
    assert await harness.pool.fetchval("SELECT count(*) FROM experiment_assignments") == 1
