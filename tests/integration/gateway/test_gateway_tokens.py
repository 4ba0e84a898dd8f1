"""Tokens, API keys and signing keys over HTTP."""

import asyncio
from typing import Any

import httpx
import jwt
import pytest

from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.stores.postgres.identity_changes import record_change


def with_credential(harness: Any, credential: str) -> httpx.AsyncClient:
    client = harness.client(None)
    client.headers["authorization"] = f"Bearer {credential}"
    return client


async def test_anybody_can_verify_our_tokens(harness: Any) -> None:
    response = await harness.client(None).get("/.well-known/jwks.json")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=60"
    published = jwt.PyJWKSet.from_dict(response.json())
    token = harness.issuer.issue(harness.admin, new_id()).token
    claims = jwt.decode(
        token, published[jwt.get_unverified_header(token)["kid"]], algorithms=["RS256"], issuer="voicehelper"
    )
    assert claims["sub"] == str(harness.admin.id)
    assert "PRIVATE" not in response.text
    assert set(response.json()["keys"][0]) == {"kty", "use", "alg", "kid", "n", "e"}


async def test_a_platform_administrator_exchanges_the_key_and_stays_logged_in(harness: Any) -> None:
    made = await harness.http.post("/api/v1/platform/signing-keys")
    assert made.status_code == 201, made.text
    assert made.json()["verifies_until"] is None
    assert "private" not in made.text.lower()
    jwks: dict = {"keys": []}
    async with asyncio.timeout(1):
        while made.json()["kid"] not in {key["kid"] for key in jwks["keys"]}:
            await asyncio.sleep(0.02)
            jwks = (await harness.http.get("/.well-known/jwks.json")).json()
    listed = (await harness.http.get("/api/v1/platform/signing-keys")).json()["items"]
    assert listed[0]["kid"] == made.json()["kid"]
    assert listed[1]["verifies_until"] > listed[1]["created_at"]
    assert (await harness.http.get("/api/v1/me")).status_code == 200
    audited = await harness.pool.fetchrow("SELECT * FROM audit_logs WHERE action = 'signing_key.rotated'")
    assert (audited["resource_id"], audited["actor_id"]) == (made.json()["kid"], harness.admin.id)


async def test_nobody_else_sees_or_makes_signing_keys(harness: Any) -> None:
    for role in ("admin", "member"):
        client = harness.client(await harness.user("default", f"some-{role}@example.com", role))
        for method in ("GET", "POST"):
            assert (await client.request(method, "/api/v1/platform/signing-keys")).status_code == 403
    await harness.pool.execute("UPDATE users SET platform = false WHERE role = 'owner'")
    second = harness.client(await harness.user("other", "other@example.com"))
    await harness.pool.execute("UPDATE users SET platform = false WHERE email = 'other@example.com'")
    assert (await second.post("/api/v1/platform/signing-keys")).status_code == 403


async def test_an_api_key_opens_what_it_may(harness: Any) -> None:
    key_id = new_id()
    text, secret_hash = API_KEY.make(key_id)
    await harness.pool.execute(
        "INSERT INTO api_keys (id, tenant_id, user_id, name, secret_hash, permissions)"
        " VALUES ($1, $2, $3, 'k', $4, '{knowledge:read}')",
        key_id,
        harness.admin.tenant_id,
        harness.admin.id,
        secret_hash,
    )
    client = with_credential(harness, text)
    assert (await client.get("/api/v1/knowledge/bases")).status_code == 200
    assert (await client.post("/api/v1/knowledge/bases", json={"name": "x"})).status_code == 403
    assert (await with_credential(harness, text[:-2] + "AA").get("/api/v1/knowledge/bases")).status_code == 401


async def test_a_logged_out_session_is_refused_with_its_own_code(harness: Any) -> None:
    session = new_id()
    client = with_credential(harness, harness.issuer.issue(harness.admin, session).token)
    assert (await client.get("/api/v1/me")).status_code == 200
    async with request_transaction(harness.pool, harness.admin.tenant_id) as conn:
        await record_change(conn, "session", harness.admin.tenant_id, session, 3600)
    response = await client.get("/api/v1/me")
    async with asyncio.timeout(1):
        while response.status_code == 200:
            await asyncio.sleep(0.02)
            response = await client.get("/api/v1/me")
    assert (response.status_code, response.json()["code"]) == (401, 40104)
    assert (await harness.http.get("/api/v1/me")).status_code == 200


async def test_while_revocations_cannot_be_read_it_says_try_again(harness: Any, tokens: Any) -> None:
    tokens.feed._seen_at -= 100
    response = await harness.http.get("/api/v1/me")
    assert (response.status_code, response.json()["code"]) == (503, 50301)
    assert int(response.headers["retry-after"]) >= 1
    assert (await harness.http.get("/health")).status_code == 200


@pytest.mark.parametrize("scheme", ["Basic", "Token", "bearer"])
async def test_the_scheme_is_bearer_in_any_case(harness: Any, scheme: str) -> None:
    token = harness.issuer.issue(harness.admin, new_id()).token
    response = await harness.client(None).get("/api/v1/me", headers={"authorization": f"{scheme} {token}"})
    assert response.status_code == (200 if scheme == "bearer" else 401)
