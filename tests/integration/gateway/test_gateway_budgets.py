"""Budgets and usage over HTTP: who may set them, what is refused, what is written down, and what reports say."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from voicehelper.ids import new_id
from voicehelper.models.ledger import LedgerEntry
from voicehelper.stores.postgres.ledger import PostgresLedger

BUDGETS, USAGE = "/api/v1/budgets", "/api/v1/usage"


async def used(
    harness: Any, user_id: UUID | None, micros: int, at_us: int = 1_793_400_000_000_000, **more: Any
) -> None:
    """A row of the ledger: a call on 2026-10-30."""
    values = {"feature": "answer", "model": "m", "provider": "p", "outcome": "answered", "key_id": ""} | more
    entry = LedgerEntry(
        id=new_id(),
        tenant_id=harness.admin.tenant_id,
        at_us=at_us,
        user_id=str(user_id or ""),
        prompt_tokens=micros,
        completion_tokens=2,
        cached_tokens=1,
        reasoning_tokens=0,
        cost_micros=micros,
        reserved_micros=0,
        estimated=False,
        experiment="",
        variant="",
        ms=1.0,
        first_ms=None,
        **values,
    )
    await PostgresLedger(harness.pool).write_uncounted([entry])


async def test_a_budget_lives(harness: Any) -> None:
    made = await harness.http.post(
        BUDGETS, json={"kind": "tenant", "hard_micros": 10_000_000, "soft_micros": 8_000_000}
    )
    assert made.status_code == 201, made.text
    budget = made.json()
    assert (budget["kind"], budget["subject_id"], budget["tokens_per_minute"], budget["version"]) == (
        ("tenant", None, None, 1)
    )
    path = f"{BUDGETS}/{budget['id']}"
    assert (await harness.http.get(path)).json() == budget
    changed = await harness.http.patch(path, json={"version": 1, "soft_micros": None, "tokens_per_minute": 5000})
    assert changed.status_code == 200, changed.text
    assert changed.json() | {"updated_at": ""} == budget | {
        "soft_micros": None,
        "tokens_per_minute": 5000,
        "version": 2,
        "updated_at": "",
    }
    stale = await harness.http.patch(path, json={"version": 1, "hard_micros": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, 40903)
    assert [one["id"] for one in (await harness.http.get(BUDGETS)).json()["items"]] == [budget["id"]]
    assert (await harness.http.delete(path)).status_code == 204
    assert (await harness.http.get(path)).status_code == 404
    acts = (await harness.http.get("/api/v1/audit-logs", params={"resource": "budget"})).json()["items"]
    assert [act["action"] for act in acts] == ["budget.deleted", "budget.changed", "budget.created"]
    assert acts[0]["details"]["limits"] == {"hard": 10_000_000, "soft": None, "tokens": 5000}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "tenant"}, 400),
        ({"kind": "tenant", "hard_micros": -1}, 400),
        ({"kind": "tenant", "hard_micros": 1.5}, 400),
        ({"kind": "tenant", "hard_micros": 10**15 + 1}, 400),
        ({"kind": "tenant", "hard_micros": 5, "soft_micros": 6}, 400),
        ({"kind": "tenant", "tokens_per_minute": 0}, 400),
        ({"kind": "tenant", "subject_id": str(uuid4()), "hard_micros": 1}, 400),
        ({"kind": "user", "subject_id": str(uuid4()), "hard_micros": 1}, 404),
        ({"kind": "key", "subject_id": str(uuid4()), "hard_micros": 1}, 404),
        ({"kind": "everybody", "hard_micros": 1}, 400),
    ],
)
async def test_what_is_no_budget_is_refused(harness: Any, body: dict[str, Any], status: int) -> None:
    assert (await harness.http.post(BUDGETS, json=body)).status_code == status


async def test_a_subject_has_one_budget(harness: Any) -> None:
    user = await harness.user("default", "m@example.com", "member")
    for body in (
        {"kind": "tenant", "hard_micros": 5},
        {"kind": "user", "hard_micros": 5},
        {"kind": "key", "hard_micros": 5},
        {"kind": "user", "subject_id": str(user.id), "hard_micros": 5},
    ):
        assert (await harness.http.post(BUDGETS, json=body)).status_code == 201
        assert (await harness.http.post(BUDGETS, json=body)).status_code == 409
    first = (await harness.http.get(BUDGETS, params={"limit": 3})).json()
    rest = (await harness.http.get(BUDGETS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (3, 1, None)


async def test_a_budget_cannot_lose_its_last_limit(harness: Any) -> None:
    made = (await harness.http.post(BUDGETS, json={"kind": "tenant", "hard_micros": 5})).json()
    refused = await harness.http.patch(f"{BUDGETS}/{made['id']}", json={"version": 1, "hard_micros": None})
    assert refused.status_code == 400


async def test_writing_twice_with_a_key_writes_once(harness: Any) -> None:
    headers, body = {"Idempotency-Key": "b1"}, {"kind": "tenant", "hard_micros": 5}
    first = await harness.http.post(BUDGETS, json=body, headers=headers)
    again = await harness.http.post(BUDGETS, json=body, headers=headers)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())


async def test_only_those_who_may(harness: Any) -> None:
    member = harness.client(await harness.user("default", "m@example.com", "member"))
    for call in (
        member.get(BUDGETS),
        member.post(BUDGETS, json={"kind": "tenant", "hard_micros": 1}),
        member.get(USAGE),
    ):
        assert (await call).status_code == 403
    assert (await member.get(f"{USAGE}/current")).status_code == 200


async def test_other_tenants_budgets_and_users_do_not_exist(harness: Any) -> None:
    made = (await harness.http.post(BUDGETS, json={"kind": "tenant", "hard_micros": 5})).json()
    other = harness.client(await harness.user("other", "o@example.com"))
    path = f"{BUDGETS}/{made['id']}"
    assert (await other.get(path)).status_code == 404
    assert (await other.patch(path, json={"version": 1, "hard_micros": 9})).status_code == 404
    assert (await other.delete(path)).status_code == 404
    body = {"kind": "user", "subject_id": str(harness.admin.id), "hard_micros": 9}
    assert (await other.post(BUDGETS, json=body)).status_code == 404
    await used(harness, harness.admin.id, 7)
    span = {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    assert (await other.get(USAGE, params=span)).json()["rows"] == []


async def test_usage_is_summed_as_asked(harness: Any) -> None:
    await used(harness, harness.admin.id, 5)
    await used(harness, harness.admin.id, 7, model="dear", outcome="50302", feature="api")
    await used(harness, None, 1, at_us=1_793_491_200_000_000)  # 2026-11-01T00:00:00Z
    span = {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T08:00:00+08:00"}
    got = (await harness.http.get(USAGE, params=span | {"group_by": "model"})).json()
    assert (got["start"], got["end"], got["group_by"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", "model")
    assert [(row["group"], row["calls"], row["errors"], row["cost_micros"]) for row in got["rows"]] == [
        ("dear", 1, 1, 7),
        ("m", 1, 0, 5),
    ]
    assert got["total"] == {
        "group": "",
        "calls": 2,
        "errors": 1,
        "prompt_tokens": 12,
        "completion_tokens": 4,
        "cached_tokens": 2,
        "reasoning_tokens": 0,
        "cost_micros": 12,
    }
    by_user = (await harness.http.get(USAGE, params={"from": span["from"], "group_by": "user"})).json()
    assert [(row["group"], row["cost_micros"]) for row in by_user["rows"]] == [(str(harness.admin.id), 12), ("", 1)]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-10-02T00:00:00Z", "to": "2026-10-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"},
        {"from": "2026-10-02T00:00:00"},
        {"from": "yesterday"},
        {"group_by": "password_hash"},
    ],
)
async def test_what_cannot_be_reported_is_refused(harness: Any, query: dict[str, str]) -> None:
    assert (await harness.http.get(USAGE, params=query)).status_code == 400


async def test_an_erased_users_calls_stay_without_a_name(harness: Any) -> None:
    """What comes through the stream later, too."""
    user = await harness.user("default", "m@example.com", "member")
    key = await harness.client(await harness.user("default", "x@example.com", "admin")).get("/api/v1/me")
    assert key.status_code == 200
    await used(harness, user.id, 5)
    await harness.http.post(BUDGETS, json={"kind": "user", "subject_id": str(user.id), "hard_micros": 9})
    exported = (await harness.http.get(f"/api/v1/users/{user.id}/export")).json()
    assert [(row["model"], row["cost_micros"]) for row in exported["usage"]] == [("m", 5)]
    assert (await harness.http.post(f"/api/v1/users/{user.id}/erase")).status_code == 200
    await used(harness, user.id, 6)
    rows = await harness.pool.fetch("SELECT user_id, key_id, cost_micros FROM usage_ledger ORDER BY cost_micros")
    assert [tuple(row) for row in rows] == [(None, None, 5), (None, None, 6)]
    assert (await harness.http.get(BUDGETS)).json()["items"] == []


async def test_what_is_left_is_told_to_everybody_of_himself(harness: Any) -> None:
    got = (await harness.http.get(f"{USAGE}/current")).json()["limits"]
    assert [limit["kind"] for limit in got] == ["tenant", "user"]
    assert got[0] | {"month": ""} == {
        "kind": "tenant",
        "month": "",
        "spent_micros": 0,
        "reserved_micros": 0,
        "hard_micros": None,
        "soft_micros": None,
        "left_micros": None,
        "tokens_last_minute": 0,
        "tokens_per_minute": None,
    }
