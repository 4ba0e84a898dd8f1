"""A user's data over HTTP: all of it handed out, all of it erased, and who may do so."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from voicehelper.identity import User

PATH = "/api/v1/conversations"


async def live(harness: Any, email: str, role: str = "member") -> tuple[User, Any, str]:
    """A user who has asked a question, judged the answer, and logged in."""
    user = await harness.user("default", email, role)
    client = harness.client(user)
    conversation = (await client.post(PATH, json={"title": "我的"})).json()["id"]
    turn = (await client.post(f"{PATH}/{conversation}/messages", json={"content": "身份证丢了怎么办"})).json()
    feedback = f"{PATH}/{conversation}/messages/{turn['answer']['id']}/feedback"
    response = await client.put(feedback, json={"rating": "up", "comment": "谢谢"}, headers={"Idempotency-Key": "k1"})
    assert response.status_code == 200, response.text
    await called(harness, user, conversation)
    return user, client, conversation


async def called(harness: Any, user: User, conversation: str) -> None:
    """A call of the user's, with a journal in two rows."""
    session = uuid4()
    await harness.pool.execute(
        "INSERT INTO voice_sessions (id, tenant_id, user_id, conversation_id, token_hash, options, snapshot)"
        " VALUES ($1, $2, $3, $4, 'x', $5, $5)",
        session,
        user.tenant_id,
        user.id,
        UUID(conversation),
        {},
    )
    for seq, entries in ((2, [["c", 3]]), (0, [["a", 1], ["b", 2]])):
        await harness.pool.execute(
            "INSERT INTO voice_journal (session_id, seq, tenant_id, entries) VALUES ($1, $2, $3, $4)",
            session,
            seq,
            user.tenant_id,
            entries,
        )


async def traces(harness: Any, user_id: UUID) -> dict[str, int]:
    """Rows that say anything about the user, by table, looked for in every column of every table."""
    found = {}
    columns = await harness.pool.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type IN ('uuid', 'text', 'jsonb') ORDER BY 1"
    )
    for table, column in columns:
        count = await harness.pool.fetchval(
            f'SELECT count(*) FROM "{table}" WHERE "{column}"::text LIKE $1', f"%{user_id}%"
        )
        if count:
            found[f"{table}.{column}"] = count
    return found


async def test_an_export_holds_everything(harness: Any) -> None:
    user, _client, conversation = await live(harness, "m@example.com")
    response = await harness.http.get(f"/api/v1/users/{user.id}/export")
    assert response.status_code == 200, response.text
    exported = response.json()
    assert exported["user"]["email"] == "m@example.com"
    assert [one["id"] for one in exported["conversations"]] == [conversation]
    assert exported["messages"][0]["content"] == "身份证丢了怎么办"
    assert [(one["rating"], one["comment"]) for one in exported["feedback"]] == [("up", "谢谢")]
    assert "user.exported" in [act["action"] for act in exported["audit"]]
    assert [call["journal"] for call in exported["voice_sessions"]] == [[["a", 1], ["b", 2], ["c", 3]]]
    sections = {
        "user",
        "sessions",
        "api_keys",
        "conversations",
        "messages",
        "feedback",
        "voice_sessions",
        "usage",
        "audit",
    }
    assert set(exported) == sections


async def test_erasure_leaves_nothing_but_the_proof(harness: Any) -> None:
    user, _client, _conversation = await live(harness, "m@example.com")
    await harness.pool.execute(
        "INSERT INTO api_keys (id, tenant_id, user_id, name, secret_hash, permissions)"
        " VALUES ($1, $2, $3, 'k', 'x', '{}')",
        uuid4(),
        user.tenant_id,
        user.id,
    )
    erased = await harness.http.post(f"/api/v1/users/{user.id}/erase")
    assert erased.status_code == 200, erased.text
    counts = erased.json()
    assert (counts["conversations"], counts["messages"], counts["feedback"], counts["api_keys"]) == (1, 2, 1, 1)
    assert counts["stored_responses"] == 1
    left = await traces(harness, user.id)
    assert {name.partition(".")[0] for name in left} <= {"users", "audit_logs", "identity_changes", "outbox"}
    row = await harness.pool.fetchrow("SELECT * FROM users WHERE id = $1", user.id)
    assert (row["email"], row["password_hash"], row["name"], row["disabled"]) == (None, None, "", True)
    texts = await harness.pool.fetch("SELECT payload::text FROM outbox UNION ALL SELECT details::text FROM audit_logs")
    assert not any("m@example.com" in text[0] or "身份证" in text[0] for text in texts)
    proof = await harness.pool.fetchrow("SELECT * FROM audit_logs WHERE action = 'user.erased'")
    assert (proof["resource_id"], proof["actor_id"], proof["details"]) == (str(user.id), harness.admin.id, counts)
    assert "user.erased" in [row["type"] for row in await harness.pool.fetch("SELECT type FROM outbox")]
    assert (await harness.http.post(f"/api/v1/users/{user.id}/erase")).status_code == 404
    assert (await harness.http.get(f"/api/v1/users/{user.id}/export")).status_code == 404
    again = await harness.user("default", "m@example.com", "member")  # the address is free again
    assert again.id != user.id


async def test_the_erased_are_out_at_once(harness: Any) -> None:
    user, client, _conversation = await live(harness, "m@example.com")
    assert (await harness.http.post(f"/api/v1/users/{user.id}/erase")).status_code == 200
    async with asyncio.timeout(2):
        while (await client.get(PATH)).status_code != 401:  # noqa: ASYNC110 - as a client sees it
            await asyncio.sleep(0.02)


async def test_who_may_not_erase_whom(harness: Any) -> None:
    member, client, _conversation = await live(harness, "m@example.com")
    assert (await client.post(f"/api/v1/users/{member.id}/erase")).status_code == 403
    assert (await harness.http.post(f"/api/v1/users/{harness.admin.id}/erase")).status_code == 409
    admin = harness.client(await harness.user("default", "a@example.com", "admin"))
    assert (await admin.post(f"/api/v1/users/{harness.admin.id}/erase")).status_code == 403
    outsider = harness.client(await harness.user("rival", "r@example.com"))
    for method, path in (("POST", "erase"), ("GET", "export")):
        assert (await outsider.request(method, f"/api/v1/users/{member.id}/{path}")).status_code == 404
    assert await harness.pool.fetchval("SELECT count(*) FROM messages") == 2


async def test_a_failed_erasure_erases_nothing(harness: Any) -> None:
    user, _client, _conversation = await live(harness, "m@example.com")

    async def broken(_entry: object) -> None:
        raise RuntimeError("the proof cannot be written")

    record, harness.services.accounts.audit.record = harness.services.accounts.audit.record, broken
    try:
        assert (await harness.http.post(f"/api/v1/users/{user.id}/erase")).status_code == 500
    finally:
        harness.services.accounts.audit.record = record
    assert await harness.pool.fetchval("SELECT count(*) FROM messages") == 2
    assert await harness.pool.fetchval("SELECT email FROM users WHERE id = $1", user.id) == "m@example.com"
