"""Who may call what: every route without a token, with a bad one, and with another tenant's ids."""

import re
from collections import defaultdict
from typing import Any
from uuid import uuid4

import jwt
import pytest

OPEN = {
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/.well-known/jwks.json"),
}


def routes(harness: Any) -> list[tuple[str, str]]:
    """Every method and path of the application."""
    paths = harness.app.openapi()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


def concrete(path: str) -> str:
    return re.sub(r"\{\w+\}", str(uuid4()), path)


async def test_every_route_but_the_open_ones_needs_a_token(harness: Any) -> None:
    assert set(routes(harness)) >= OPEN
    anonymous = harness.client(None)
    for method, path in routes(harness):
        response = await anonymous.request(method, concrete(path))
        if (method, path) in OPEN:
            assert response.status_code != 401 or "/auth/" in path
            continue
        assert response.status_code == 401, (method, path)
        assert response.json()["code"] == 40101
        assert response.headers["www-authenticate"] == "Bearer"


BAD_HEADERS = ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x.y.z", "Bearer " + "a" * 5000, "Bearer 退".encode()]


async def test_bad_authorization_is_refused(harness: Any) -> None:
    for header in BAD_HEADERS:
        response = await harness.client(None).get("/api/v1/me", headers={"Authorization": header})
        assert (response.status_code, response.json()["code"]) == (401, 40101)


async def test_a_token_of_another_key_or_algorithm_is_refused(harness: Any) -> None:
    real = harness.issuer.issue(harness.admin, uuid4()).token
    kid = jwt.get_unverified_header(real)["kid"]
    claims = jwt.decode(real, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "a guess that is long enough for the algorithm", "HS256", {"kid": kid}),
        jwt.encode(claims, "", "none", {"kid": kid}),
        real[:-8] + "AAAAAAAA",
    ]
    for token in forged:
        response = await harness.client(None).get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401


def body_for(method: str, path: str) -> dict[str, Any]:
    """A body that the route would accept."""
    if path.endswith("/regenerate"):
        return {}
    if path.endswith("/feedback"):
        return {"rating": "up"}
    if path.endswith("/password"):
        return {}
    if path.endswith("/outcomes"):
        return {"user_id": "u", "metric": "clicked", "value": 1}
    if path.endswith(("/start", "/weights")) or ("/experiments/" in path and path.endswith("/stop")):
        return {"version": 1} | ({"weights": {"a": 1, "b": 1}} if path.endswith("/weights") else {})
    return {"version": 1} if method == "PATCH" else {"content": "hi"}


async def test_no_route_shows_another_tenants_things(harness: Any) -> None:
    kb = await harness.base()
    upload = await harness.http.post(f"/api/v1/knowledge/bases/{kb}/documents", files={"file": ("a.md", b"# A\n\nb")})
    assert upload.status_code == 202, upload.text
    ids = defaultdict(uuid4, kb_id=kb, document_id=upload.json()["id"], conversation_id=await harness.conversation())
    ids["name"] = "nobody"
    stranger = harness.client(await harness.user("rival", "rival@example.com"))
    tried = 0
    for method, path in routes(harness):
        if "{" not in path:
            continue
        body: dict[str, Any] = {}
        if method in {"POST", "PUT", "PATCH"}:
            body = {"files": {"file": ("a.md", b"x")}} if "documents" in path else {"json": body_for(method, path)}
        if path.endswith("/assignment"):
            body = {"params": {"user_id": "u"}}
        response = await stranger.request(method, path.format_map(ids), **body)
        assert response.status_code == 404, (method, path, response.text)
        tried += 1
    assert tried >= 11
    for path in ("/api/v1/knowledge/bases", "/api/v1/conversations"):
        assert (await stranger.get(path)).json()["items"] == []
    named = await stranger.post("/api/v1/search", json={"query": "退款", "knowledge_bases": [str(kb)]})
    assert (named.status_code, named.json()["details"]["knowledge_base"]) == (404, str(kb))
    # nothing was lost by the attempts
    assert (await harness.http.get(f"/api/v1/knowledge/documents/{ids['document_id']}")).status_code == 200
    assert (await harness.http.get(f"/api/v1/conversations/{ids['conversation_id']}")).status_code == 200


async def test_a_colleague_does_not_see_my_conversations_but_our_bases(harness: Any) -> None:
    kb, conversation = await harness.base(), await harness.conversation()
    colleague = harness.client(await harness.user("default", "b@example.com", role="member"))
    assert (await colleague.get(f"/api/v1/conversations/{conversation}")).status_code == 404
    sent = await colleague.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "x"})
    assert sent.status_code == 404
    assert (await colleague.get(f"/api/v1/knowledge/bases/{kb}")).status_code == 200


async def test_search_stays_within_the_tenant(harness: Any) -> None:
    kb = await harness.base()
    rival = await harness.user("rival", "rival@example.com")
    await harness.client(rival).post("/api/v1/knowledge/bases", json={"name": "theirs"})
    response = await harness.http.post("/api/v1/search", json={"query": "退款"})
    assert response.status_code == 200
    assert harness.retriever.scopes[-1].tenant_id == harness.admin.tenant_id
    assert harness.retriever.scopes[-1].kb_ids == (kb,)
    body = response.json()
    assert body["passages"][0]["scores"] == {"dense": 0.9, "fused": 0.9}
    assert (body["degraded"], body["timings_ms"]) == (["keyword"], {"dense": 1.0})


async def test_login_gives_a_working_token(harness: Any) -> None:
    login = await harness.client(None).post(
        "/api/v1/auth/login", json={"email": " Admin@Example.com", "password": "correct horse 电池"}
    )
    assert login.status_code == 200, login.text
    me = await harness.client(None).get(
        "/api/v1/me", headers={"Authorization": f"Bearer {login.json()['access_token']}"}
    )
    assert me.json()["email"] == "admin@example.com"
    assert me.json()["role"] == "owner"


@pytest.mark.parametrize(
    ("email", "password"), [("admin@example.com", "wrong"), ("nobody@example.com", "correct horse 电池")]
)
async def test_wrong_credentials_look_alike(harness: Any, email: str, password: str) -> None:
    response = await harness.client(None).post("/api/v1/auth/login", json={"email": email, "password": password})
    assert (response.status_code, response.json()["code"]) == (401, 40102)
    assert "password" not in response.text.lower() or email not in response.text


async def test_a_disabled_account_cannot_log_in(harness: Any) -> None:
    await harness.pool.execute("UPDATE users SET disabled = true")
    response = await harness.client(None).post(
        "/api/v1/auth/login", json={"email": "admin@example.com", "password": "correct horse 电池"}
    )
    assert response.json()["code"] == 40102
    assert (await harness.http.get("/api/v1/me")).status_code == 401
