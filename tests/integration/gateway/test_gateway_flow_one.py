"""Flow 1 of the overview against the real application, on two replicas: login, use, refresh, revocation, lockout."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from voicehelper.config import Settings
from voicehelper.gateway import create_app
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.wakeups import Wakeups

EMAIL, PASSWORD = "admin@example.com", "correct horse 电池"
STRONG = "Kx7mPq2w-ab"
WITHIN_S = 1.0


@asynccontextmanager
async def stack_of(home: Path, pool: Pool) -> AsyncIterator[AuthenticationStack]:
    """A replica's keys, feed and caches: its own, as in a process of its own."""
    wakeups = Wakeups(pool)
    stack = authentication(Settings(home=home), pool, wakeups, None, SystemClock())
    await stack.start()
    running = asyncio.create_task(stack.run())
    yield stack
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await wakeups.close()


@pytest.fixture
async def tokens(pool: Pool, tmp_path: Path) -> AsyncIterator[AuthenticationStack]:
    """The first replica's (the harness is built on it)."""
    async with stack_of(tmp_path, pool) as stack:
        yield stack


@dataclass
class Replicas:
    """Two replicas of the gateway over one database."""

    clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    harness: Any

    async def call(self, method: str, path: str, token: str = "", replica: int = 0, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.clients[replica].request(method, f"/api/v1{path}", headers=headers, **more)

    async def login(self, email: str = EMAIL, password: str = PASSWORD) -> dict[str, Any]:
        response = await self.call("POST", "/auth/login", json={"email": email, "password": password})
        assert response.status_code == 200, response.text
        return response.json()

    async def statuses(self, token: str, path: str = "/me") -> list[int]:
        """What each replica says to a token, and so has in its cache from then on."""
        return [(await self.call("GET", path, token, replica)).status_code for replica in (0, 1)]

    async def until(self, token: str, wanted: int, path: str = "/me") -> float:
        """Seconds until every replica says `wanted` to the token."""
        started = time.monotonic()
        while await self.statuses(token, path) != [wanted, wanted]:
            assert time.monotonic() - started < 5, await self.statuses(token, path)
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    async def person(self, owner: str, email: str, role: str = "member") -> dict[str, Any]:
        body = {"email": email, "role": role, "password": STRONG}
        response = await self.call("POST", "/users", owner, json=body)
        assert response.status_code == 201, response.text
        return response.json()


@pytest.fixture
async def replicas(harness: Any, pool: Pool, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with stack_of(tmp_path, pool) as stack:
        other = create_app(replace(harness.services, authenticator=stack.authenticator, keys=stack.keys))
        transports = (httpx.ASGITransport(harness.app), httpx.ASGITransport(other))
        clients = tuple(httpx.AsyncClient(transport=transport, base_url="http://test") for transport in transports)
        yield Replicas(clients, harness)
        for client in clients:
            await client.aclose()


async def test_flow_one_as_drawn(replicas: Replicas) -> None:
    wrong = await replicas.call("POST", "/auth/login", json={"email": EMAIL, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, 40102)
    pair = await replicas.login()
    assert (pair["expires_in"], pair["refresh_expires_in"], pair["token_type"]) == (3600, 7 * 86400, "bearer")
    assert jwt.get_unverified_header(pair["access_token"])["alg"] == "RS256"
    assert await replicas.statuses(pair["access_token"], "/conversations") == [200, 200]
    forged = pair["access_token"][:-8] + "AAAAAAAA"
    assert await replicas.statuses(forged) == [401, 401]
    me = (await replicas.call("GET", "/me", pair["access_token"])).json()
    assert (me["email"], me["role"]) == (EMAIL, "owner")
    assert "platform:write" in me["permissions"]
    logs = (await replicas.call("GET", "/audit-logs", pair["access_token"])).json()["items"]
    assert [entry["action"] for entry in logs] == ["session.created", "login.failed"]
    assert logs[0]["actor_id"] == me["id"]


async def test_a_replayed_refresh_token_ends_the_session_everywhere(replicas: Replicas) -> None:
    first = await replicas.login()
    body = {"refresh_token": first["refresh_token"]}
    second = (await replicas.call("POST", "/auth/refresh", json=body)).json()
    assert await replicas.statuses(first["access_token"]) == [200, 200]  # it lives on until it expires
    assert await replicas.statuses(second["access_token"]) == [200, 200]
    replayed = await replicas.call("POST", "/auth/refresh", replica=1, json=body)
    assert (replayed.status_code, replayed.json()["code"]) == (401, 40104)
    assert await replicas.until(second["access_token"], 401) < WITHIN_S
    assert await replicas.until(first["access_token"], 401) < WITHIN_S
    assert (await replicas.call("GET", "/me", first["access_token"])).json()["code"] == 40104
    last = await replicas.call("POST", "/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert last.json()["code"] == 40104


async def test_logging_out_holds_on_every_replica_within_a_second(replicas: Replicas) -> None:
    stays, goes = await replicas.login(), await replicas.login()
    assert await replicas.statuses(goes["access_token"]) == [200, 200]
    assert (await replicas.call("POST", "/auth/logout", goes["access_token"])).status_code == 204
    assert await replicas.until(goes["access_token"], 401) < WITHIN_S
    assert await replicas.statuses(stays["access_token"]) == [200, 200]
    ended = await replicas.call("POST", "/auth/logout-all", stays["access_token"], replica=1)
    assert ended.json() == {"ended": 1}
    assert await replicas.until(stays["access_token"], 401) < WITHIN_S


async def test_five_wrong_passwords_lock_the_account_for_everybody_alike(replicas: Replicas) -> None:
    async def attempt(email: str, password: str) -> tuple[int, dict[str, Any], str]:
        response = await replicas.call("POST", "/auth/login", json={"email": email, "password": password})
        body = {name: value for name, value in response.json().items() if name not in {"trace_id", "details"}}
        return response.status_code, body, response.headers.get("retry-after", "")

    known = [await attempt(EMAIL, "wrong") for _ in range(5)] + [await attempt(EMAIL, PASSWORD)]
    unknown = [await attempt("nobody@example.com", "wrong") for _ in range(6)]
    assert known == unknown
    assert [status for status, _, _ in known] == [401] * 5 + [429]
    assert (known[5][1]["code"], known[5][2]) == (42903, "900")


async def test_a_new_signing_key_logs_nobody_out(replicas: Replicas) -> None:
    before = await replicas.login()
    made = await replicas.call("POST", "/platform/signing-keys", before["access_token"])
    assert made.status_code == 201, made.text
    started = time.monotonic()
    old = jwt.get_unverified_header(before["access_token"])["kid"]
    while jwt.get_unverified_header((after := await replicas.login())["access_token"])["kid"] == old:
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.1)
    assert await replicas.statuses(before["access_token"]) == [200, 200]
    assert await replicas.statuses(after["access_token"]) == [200, 200]
    published = (await replicas.clients[1].get("/.well-known/jwks.json")).json()["keys"]
    assert {old, jwt.get_unverified_header(after["access_token"])["kid"]} <= {key["kid"] for key in published}


async def test_what_changes_about_a_user_holds_everywhere_within_a_second(replicas: Replicas) -> None:
    owner = (await replicas.login())["access_token"]
    user = await replicas.person(owner, "wang@example.com")
    token = (await replicas.login("wang@example.com", STRONG))["access_token"]
    assert await replicas.statuses(token, "/users") == [403, 403]
    path = f"/users/{user['id']}"
    raised = await replicas.call("PATCH", path, owner, json={"version": user["version"], "role": "admin"})
    assert raised.status_code == 200, raised.text
    assert await replicas.until(token, 200, "/users") < WITHIN_S
    stale = await replicas.call("PATCH", path, owner, json={"version": user["version"], "disabled": True})
    assert (stale.status_code, stale.json()["code"]) == (409, 40903)
    assert stale.json()["details"]["version"] == raised.json()["version"]
    body = {"version": raised.json()["version"], "disabled": True}
    assert (await replicas.call("PATCH", path, owner, json=body)).status_code == 200
    assert await replicas.until(token, 401) < WITHIN_S
    refused = await replicas.call("POST", "/auth/login", json={"email": "wang@example.com", "password": STRONG})
    assert refused.json()["code"] == 40102


async def test_a_changed_role_changes_who_has_it(replicas: Replicas) -> None:
    owner = (await replicas.login())["access_token"]
    role = {"name": "auditor", "permissions": ["profile:read"]}
    made = await replicas.call("POST", "/roles", owner, json=role)
    assert made.status_code == 201, made.text
    await replicas.person(owner, "wang@example.com", "auditor")
    token = (await replicas.login("wang@example.com", STRONG))["access_token"]
    assert await replicas.statuses(token, "/audit-logs") == [403, 403]
    wider = {"version": made.json()["version"], "permissions": ["profile:read", "audit:read"]}
    assert (await replicas.call("PATCH", "/roles/auditor", owner, json=wider)).status_code == 200
    assert await replicas.until(token, 200, "/audit-logs") < WITHIN_S
    assert (await replicas.call("DELETE", "/roles/auditor", owner)).status_code == 409


async def test_an_api_key_works_until_it_is_revoked(replicas: Replicas) -> None:
    owner = (await replicas.login())["access_token"]
    body = {"name": "nightly import", "permissions": ["knowledge:read", "keys:write", "keys:read"]}
    made = await replicas.call("POST", "/api-keys", owner, json=body)
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert await replicas.statuses(key, "/knowledge/bases") == [200, 200]
    assert await replicas.statuses(key, "/users") == [403, 403]
    wider = {"name": "wider", "permissions": ["users:write"]}
    refused = await replicas.call("POST", "/api-keys", key, json=wider)
    assert (refused.status_code, refused.json()["details"]["missing"]) == (403, ["users:write"])
    listed = (await replicas.call("GET", "/api-keys", owner)).json()["items"]
    assert [found["name"] for found in listed] == ["nightly import"]
    assert "key" not in listed[0]
    path = f"/api-keys/{made.json()['id']}"
    assert (await replicas.call("DELETE", path, owner)).status_code == 204
    assert await replicas.until(key, 401, "/knowledge/bases") < WITHIN_S
    assert (await replicas.call("GET", path, owner)).status_code == 404


async def test_a_visitor_has_one_conversation_and_no_more(replicas: Replicas) -> None:
    owner = (await replicas.login())["access_token"]
    mine = (await replicas.call("POST", "/conversations", owner, json={})).json()["id"]
    made = await replicas.call("POST", "/visitor-tokens", owner, json={"ttl_s": 600, "title": "网站"})
    assert made.status_code == 201, made.text
    visitor = made.json()
    assert visitor["expires_in"] == 600
    token, conversation = visitor["token"], f"/conversations/{visitor['conversation_id']}"
    assert await replicas.statuses(token, conversation) == [200, 200]
    assert await replicas.statuses(token, f"/conversations/{mine}") == [404, 404]
    for path in ("/me", "/conversations", "/users", "/knowledge/bases"):
        assert await replicas.statuses(token, path) == [403, 403], path
    again = await replicas.call("POST", "/visitor-tokens", owner, json={"conversation_id": visitor["conversation_id"]})
    assert again.json()["visitor_id"] == visitor["visitor_id"]
    assert (await replicas.call("DELETE", f"/visitor-tokens/{visitor['conversation_id']}", owner)).status_code == 204
    for ended in (token, again.json()["token"]):
        assert await replicas.until(ended, 401, conversation) < WITHIN_S
    renewed = await replicas.call("POST", "/visitor-tokens", owner, json={"conversation_id": mine})
    assert renewed.status_code == 404
    assert (await replicas.call("GET", conversation, owner)).status_code == 404  # it is the visitor's own


async def test_a_disabled_tenant_is_shut(replicas: Replicas) -> None:
    owner = (await replicas.login())["access_token"]
    body = {"name": "Rival", "owner_email": "boss@rival.example"}
    made = (await replicas.call("POST", "/platform/tenants", owner, json=body)).json()
    boss = await replicas.login("boss@rival.example", made["owner_password"])
    token = boss["access_token"]
    assert await replicas.statuses(token, "/platform/tenants") == [403, 403]
    users = (await replicas.call("GET", "/users", token)).json()["items"]
    assert [user["email"] for user in users] == ["boss@rival.example"]
    path = f"/platform/tenants/{made['tenant']['id']}"
    shut = await replicas.call("PATCH", path, owner, json={"version": made["tenant"]["version"], "disabled": True})
    assert shut.status_code == 200, shut.text
    assert await replicas.until(token, 401) < WITHIN_S
    refresh = await replicas.call("POST", "/auth/refresh", json={"refresh_token": boss["refresh_token"]})
    assert refresh.json()["code"] == 40104
    login = {"email": "boss@rival.example", "password": made["owner_password"]}
    assert (await replicas.call("POST", "/auth/login", json=login)).json()["code"] == 40102
    body = {"version": shut.json()["version"], "disabled": False}
    assert (await replicas.call("PATCH", path, owner, json=body)).status_code == 200
    await replicas.login("boss@rival.example", made["owner_password"])


async def test_one_password_change_ends_the_other_sessions(replicas: Replicas) -> None:
    kept, other = await replicas.login(), await replicas.login()
    assert await replicas.statuses(other["access_token"]) == [200, 200]
    weak = {"current_password": PASSWORD, "new_password": "Password1"}
    refused = await replicas.call("PUT", "/me/password", kept["access_token"], json=weak)
    assert (refused.status_code, refused.json()["code"]) == (400, 40005)
    assert refused.json()["details"]["rules"] == ["common"]
    strong = {"current_password": PASSWORD, "new_password": STRONG}
    assert (await replicas.call("PUT", "/me/password", kept["access_token"], json=strong)).status_code == 204
    assert await replicas.until(other["access_token"], 401) < WITHIN_S
    assert await replicas.statuses(kept["access_token"]) == [200, 200]
    sessions = (await replicas.call("GET", "/me/sessions", kept["access_token"])).json()["items"]
    assert [session["current"] for session in sessions] == [True]
