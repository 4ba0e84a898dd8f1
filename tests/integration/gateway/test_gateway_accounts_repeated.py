"""Writes of accounts sent again under an Idempotency-Key: secrets come once more, guesses count every time."""

import asyncio
from typing import Any
from uuid import uuid4

from tests.integration.gateway.conftest import PASSWORD

ME = "/api/v1/me/password"


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


async def test_a_repeated_creation_shows_the_same_secret(harness: Any) -> None:
    for path, body, secret in (
        ("/users", {"email": "li@example.com"}, "password"),
        ("/api-keys", {"name": "import", "permissions": ["knowledge:read"]}, "key"),
        ("/platform/tenants", {"name": "Rival", "owner_email": "boss@rival.example"}, "owner_password"),
        ("/visitor-tokens", {}, "token"),
    ):
        headers = key()
        sent = [harness.http.post(f"/api/v1{path}", json=body, headers=headers) for _ in range(2)]
        first, again = [await request for request in sent]
        assert (first.status_code, again.status_code) == (201, 201), (path, first.text)
        assert first.json()[secret]
        assert again.json() == first.json()
        stored = await harness.pool.fetch("SELECT body FROM idempotency_keys")
        assert not any(first.json()[secret].encode() in row["body"] for row in stored)
    assert await harness.pool.fetchval("SELECT count(*) FROM users WHERE email = 'li@example.com'") == 1
    assert await harness.pool.fetchval("SELECT count(*) FROM api_keys") == 1


async def test_guesses_under_idempotency_keys_are_guesses(harness: Any) -> None:
    """A refused write is rolled back nowhere: the count of wrong passwords stays."""
    body = {"current_password": "wrong", "new_password": "Another-Horse-8"}
    replies = await asyncio.gather(*(harness.http.put(ME, json=body, headers=key()) for _ in range(12)))
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [401] * 5 + [429] * 7
    body["current_password"] = PASSWORD
    assert (await harness.http.put(ME, json=body, headers=key())).json()["code"] == 42903
    failed = await harness.pool.fetchval("SELECT count(*) FROM audit_logs WHERE action = 'login.failed'")
    assert failed == 5


async def test_a_repeated_password_change_is_one(harness: Any) -> None:
    body, headers = {"current_password": PASSWORD, "new_password": "Another-Horse-8"}, key()
    first, again = [await harness.http.put(ME, json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (204, 204)
    assert await harness.pool.fetchval("SELECT coalesce(sum(failures), 0) FROM login_failures") == 0


async def test_a_refused_escalation_is_written_down_under_a_key_too(harness: Any) -> None:
    admin = harness.client(await harness.user("default", "admin2@example.com", role="admin"))
    refused = await admin.post("/api/v1/users", json={"email": "x@example.com", "role": "owner"}, headers=key())
    assert refused.status_code == 403
    denied = await harness.pool.fetchrow("SELECT action, outcome FROM audit_logs WHERE outcome = 'denied'")
    assert denied["action"] == "user.created"
