"""Bad input to the routes of accounts is a 4xx that says why, and changes nothing."""

import json
from typing import Any
from uuid import uuid4

import pytest

NUL = "a\x00b"
LONG = "x" * 3000
ODD_BODIES: list[Any] = [None, [], {}, "x", 5, {"unknown": 1}, {"version": 2**40}, {"version": "x"}, {"name": NUL}]

POSTS: dict[str, list[Any]] = {
    "/auth/login": [{"email": NUL, "password": "x"}, {"email": LONG, "password": "x"}, {"email": "a", "password": ""}],
    "/auth/refresh": [{"refresh_token": value} for value in ("", LONG, NUL, "vhr_" + "0" * 76, "vhr_" + "é" * 76, 5)],
    "/users": [{"email": value} for value in (NUL, LONG, "no address", "a@b@c", 5)]
    + [{"email": "a@b", "name": NUL}, {"email": "a@b", "role": "Owner!"}, {"email": "a@b", "role": "nope"}]
    + [{"email": "a@b", "password": value} for value in ("", "short", "Password1", "x" * 2000, 5)],
    "/roles": [{"name": value, "permissions": []} for value in (NUL, LONG, "Ü", "", "1a")]
    + [{"name": "a", "permissions": value} for value in (["nope"], ["platform:write"], "x", [NUL], ["users:read"] * 51)]
    + [{"name": "a", "permissions": [], "description": NUL}],
    "/api-keys": [{"name": "a", "permissions": value} for value in ([], ["nope"], ["platform:write"], None)]
    + [{"name": value, "permissions": ["users:read"]} for value in (NUL, LONG, " ")]
    + [
        {"name": "a", "permissions": ["users:read"], "expires_at": value}
        for value in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2030-01-01T00:00:00", "x", 1e300)
    ],
    "/visitor-tokens": [{"ttl_s": value} for value in (0, -1, 59, 3601, 2**70, "x")]
    + [{"title": NUL}, {"knowledge_bases": [NUL]}, {"conversation_id": "x"}],
    "/platform/tenants": [{"name": value, "owner_email": "a@b"} for value in (NUL, LONG, "")]
    + [{"name": "a", "owner_email": "a"}, {"name": "a", "owner_email": "a@b", "owner_password": "weak"}],
}
QUERIES = [
    "/users?q=%00",
    "/users?q=" + LONG,
    "/users?role=%00",
    "/users?limit=0",
    "/users?limit=201",
    "/users?cursor=x",
    "/users?cursor=%00",
    "/users?disabled=perhaps",
    "/api-keys?user_id=x",
    "/api-keys?cursor=../..",
    "/platform/tenants?q=%00",
    "/audit-logs?action=%00",
    "/audit-logs?resource_id=" + LONG,
    "/audit-logs?since=0001-01-01T00:00:00%2B14:00",
    "/audit-logs?since=9999-12-31T23:59:59-14:00",
    "/audit-logs?since=2026-01-01",
    "/audit-logs?outcome=x",
    "/audit-logs?actor_id=x",
    "/users/x",
    "/roles/%00",
    "/roles/" + LONG,
    "/api-keys/x",
    "/platform/tenants/x",
]
CHANGES = [
    ("PATCH", f"/users/{uuid4()}"),
    ("PATCH", "/roles/member"),
    ("PATCH", "/tenant"),
    ("PATCH", f"/platform/tenants/{uuid4()}"),
    ("POST", f"/users/{uuid4()}/password"),
    ("PUT", "/me/password"),
]


async def counts(harness: Any) -> list[int]:
    tables = ("users", "roles", "api_keys", "tenants", "conversations", "sessions")
    return [await harness.pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


def check(response: Any, sent: object) -> None:
    assert 400 <= response.status_code < 500, (sent, response.status_code, response.text)
    body = response.json()
    assert set(body) == {"code", "message", "details", "trace_id"}
    assert body["code"] // 100 == response.status_code
    json.dumps(body)


@pytest.mark.parametrize("path", POSTS)
async def test_odd_bodies_make_nothing(harness: Any, path: str) -> None:
    before = await counts(harness)
    bodies = POSTS[path] + (ODD_BODIES if path != "/visitor-tokens" else ODD_BODIES[1:2] + ODD_BODIES[3:])
    for body in bodies:
        check(await harness.http.post(f"/api/v1{path}", json=body), body)
    lone = b'{"email": "\\ud800@b", "name": "\\ud800", "refresh_token": "\\ud800", "title": "\\ud800"}'
    headers = {"content-type": "application/json"}
    for content in (b"", b"{", b"\xff", lone):
        check(await harness.http.post(f"/api/v1{path}", content=content, headers=headers), content)
    assert await counts(harness) == before


@pytest.mark.parametrize("path", QUERIES)
async def test_odd_queries_and_ids(harness: Any, path: str) -> None:
    response = await harness.http.get(f"/api/v1{path}")
    check(response, path)


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_odd_changes_change_nothing(harness: Any, method: str, path: str) -> None:
    before = await harness.pool.fetch("SELECT * FROM users"), await harness.pool.fetch("SELECT * FROM tenants")
    for body in ODD_BODIES:
        check(await harness.http.request(method, f"/api/v1{path}", json=body), body)
    assert before == (
        await harness.pool.fetch("SELECT * FROM users"),
        await harness.pool.fetch("SELECT * FROM tenants"),
    )


async def test_wildcards_in_a_search_are_letters(harness: Any) -> None:
    for text in ("%", "_", "\\", "100%", "'; DROP TABLE users; --"):
        response = await harness.http.get("/api/v1/users", params={"q": text})
        assert (response.status_code, response.json()["items"]) == (200, []), text


async def test_lists_go_page_by_page(harness: Any) -> None:
    for number in range(5):
        body = {"name": f"key {number}", "permissions": ["users:read"]}
        assert (await harness.http.post("/api/v1/api-keys", json=body)).status_code == 201
    for path in ("/api-keys", "/audit-logs"):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
            page = (await harness.http.get(f"/api/v1{path}", params=params)).json()
            assert len(page["items"]) <= 2
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert len(seen) == 5
        assert seen == sorted(set(seen), reverse=True)
