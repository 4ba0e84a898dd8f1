"""The database loses every connection while answers run: no message is lost, nothing stays busy."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from voicehelper.rag.events import AnswerDelta, AnswerDone


async def cut_connections(dsn: str) -> None:
    """What a restart of the server does to its clients."""
    admin = await asyncpg.connect(dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()


async def test_an_answer_outlives_the_loss_of_every_connection(
    harness: Any, live: Callable[..., Any], postgres_dsn: str
) -> None:
    harness.answerer.events = (*((AnswerDelta("好"),) * 10), AnswerDone("answered"))
    harness.answerer.delay = 0.05
    conversations = [await harness.conversation() for _ in range(6)]
    requests = [live(conversation, "q") for conversation in conversations]
    for request in requests:
        await request.until(lambda body: "event: delta" in body)
    await cut_connections(postgres_dsn)
    await asyncio.gather(*(request.task for request in requests))
    for conversation, request in zip(conversations, requests, strict=True):
        assert "event: message.completed" in request.body.decode()
        stored = (await harness.http.get(f"/api/v1/conversations/{conversation}/messages")).json()["items"]
        assert [(m["status"], m["content"]) for m in stored] == [("completed", "q"), ("completed", "好" * 10)]


async def test_requests_during_cuts_are_answered_or_told_to_retry(harness: Any, postgres_dsn: str) -> None:
    conversation = await harness.conversation()
    harness.answerer.events = (AnswerDelta("好"), AnswerDone("answered"))

    async def cuts() -> None:
        for _ in range(5):
            await cut_connections(postgres_dsn)
            await asyncio.sleep(0.05)

    async def asks() -> list[int]:
        path = f"/api/v1/conversations/{conversation}/messages"
        return [(await harness.http.post(path, json={"content": f"q{n}"})).status_code for n in range(40)]

    _, statuses = await asyncio.gather(cuts(), asks())
    assert set(statuses) <= {200, 409, 503}
    stored = (await harness.http.get(f"/api/v1/conversations/{conversation}/messages?limit=200")).json()["items"]
    answered = {m["content"] for m in stored if m["role"] == "user"}
    assert {f"q{n}" for n, status in enumerate(statuses) if status == 200} <= answered
    assert [m["seq"] for m in stored] == list(range(1, len(stored) + 1))
