"""An answer is followed from any replica, from any event on, while it is written and afterwards."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.integration.gateway.conftest import LiveRequest
from tests.integration.gateway.replicas import Replica, replica
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus, Citation

CITATION = Citation(1, 0, 8, new_id(), new_id(), "退款.md", 2, ("售后", "退款"), "款项3天内到账。", 0.83)
TEXT = "退款会在三到五个工作日内退回原支付账户。\u2028Line\n\n二🙂"


def long_answer(deltas: int) -> tuple[Any, ...]:
    pieces = [AnswerDelta(TEXT[n % len(TEXT)] * (1 + n % 3)) for n in range(deltas)]
    half = [AnswerDelta("\ud83d"), AnswerDelta("\ude00\x00")]
    ends = AnswerCitations((CITATION,)), AnswerDone("answered", ChatUsage(10, 4, 2), "fake", (), {"total": 12.5})
    return (AnswerStatus("searching"), AnswerStatus("answering"), *pieces, *half, *ends)


@pytest.fixture
async def pair(harness: Any, redis_url: str) -> AsyncIterator[list[Replica]]:
    async with replica(harness, redis_url) as one, replica(harness, redis_url) as two:
        yield [one, two]


def get(harness: Any, gateway: Replica, conversation: UUID, answer: str, seen: str = "") -> LiveRequest:
    """Follow an answer, watchable."""
    headers = {"authorization": harness.http.headers["authorization"], **({"last-event-id": seen} if seen else {})}
    path = f"/api/v1/conversations/{conversation}/messages/{answer}/events"
    return LiveRequest(gateway.app, path, None, headers, method="GET")


def post(harness: Any, gateway: Replica, conversation: UUID, body: dict[str, Any], key: str = "") -> LiveRequest:
    headers = {"authorization": harness.http.headers["authorization"], "accept": "text/event-stream"}
    if key:
        headers["idempotency-key"] = key
    return LiveRequest(gateway.app, f"/api/v1/conversations/{conversation}/messages", body, headers)


def blocks(body: bytes) -> list[bytes]:
    """Whole events of a stream that may have been cut anywhere, comments left out."""
    *whole, _ = body.split(b"\n\n")
    return [block for block in whole if block and not block.startswith(b":")]


def field(block: bytes, name: str) -> str:
    return next(line.removeprefix(f"{name}: ") for line in block.decode().split("\n") if line.startswith(f"{name}: "))


def answer_of(block: bytes) -> str:
    return str(json.loads(field(block, "data"))["answer"]["id"])


async def test_a_stream_cut_at_random_bytes_and_resumed_200_times(harness: Any, pair: list[Replica]) -> None:
    choose = random.Random(7)
    for gateway in pair:
        gateway.answerer.events, gateway.answerer.delay = long_answer(500), 0.004
    conversation = await harness.conversation()
    reference = post(harness, pair[0], conversation, {"content": "q", "keep_running": True})
    await reference.until(lambda body: "message.created" in body)
    answer = answer_of(blocks(reference.body)[0])
    got: list[bytes] = []
    cuts = 0
    while not got or field(got[-1], "event") != "message.completed":
        gateway = pair[cuts % 2]
        seen = field(got[-1], "id") if got else ""
        request = get(harness, gateway, conversation, answer, seen)
        limit = 1 + int(choose.expovariate(1 / 250 if cuts < 220 else 1 / 2500))
        await request.bytes(limit)
        request.leave()
        await asyncio.wait_for(request.task, 2)
        got += blocks(request.body[:limit])
        cuts += 1
    await reference.task
    assert cuts >= 200
    assert got == blocks(reference.body)
    assert [field(block, "id") for block in got] == [str(n) for n in range(1, len(got) + 1)]
    # finished: from the row alone, whether Redis has it or not
    await pair[0].link.client.flushall()
    for gateway in pair:
        whole = get(harness, gateway, conversation, answer)
        await whole.task
        assert blocks(whole.body) == got
        assert (
            await gateway.http.get(
                f"/api/v1/conversations/{conversation}/messages/{answer}/events",
                headers={"last-event-id": str(len(got))},
            )
        ).status_code == 204
        middle = get(harness, gateway, conversation, answer, "100")
        await middle.task
        assert blocks(middle.body) == got[100:]


async def test_a_follower_elsewhere_keeps_the_answer_going(harness: Any, pair: list[Replica]) -> None:
    first, second = pair
    first.answerer.events, first.answerer.delay = long_answer(60), 0.04
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"})
    await asker.until(lambda body: "event: delta" in body)
    answer = answer_of(blocks(asker.body)[0])
    follower = get(harness, second, conversation, answer, field(blocks(asker.body)[-1], "id"))
    await follower.until(lambda body: "event: delta" in body)
    asker.leave()
    await asker.task
    await asyncio.wait_for(follower.task, 10)
    assert field(blocks(follower.body)[-1], "event") == "message.completed"


async def test_the_last_follower_elsewhere_leaving_stops_the_model(harness: Any, pair: list[Replica]) -> None:
    first, second = pair
    first.answerer.events, first.answerer.delay = long_answer(1000), 0.02
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"})
    await asker.until(lambda body: "event: delta" in body)
    follower = get(harness, second, conversation, answer_of(blocks(asker.body)[0]))
    await follower.until(lambda body: "event: delta" in body)
    asker.leave()
    await asker.task
    await asyncio.sleep(1.0)
    assert first.answerer.stopped == 0
    follower.leave()
    await follower.task
    async with asyncio.timeout(1):
        while not first.answerer.stopped:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)


async def test_any_device_stops_an_answer_through_any_replica(harness: Any, pair: list[Replica]) -> None:
    first, second = pair
    first.answerer.events, first.answerer.delay = long_answer(1000), 0.02
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"})
    await asker.until(lambda body: "event: delta" in body)
    answer = answer_of(blocks(asker.body)[0])
    path = f"/api/v1/conversations/{conversation}/messages/{answer}/stop"
    stopped = (await second.http.post(path, headers={"idempotency-key": "s"})).json()
    assert (stopped["status"], stopped["metadata"]["reason"]) == ("stopped", "asked")
    await asker.task
    assert field(blocks(asker.body)[-1], "event") == "message.stopped"
    assert (await second.http.post(path)).json() == stopped
    replayed = get(harness, second, conversation, answer)
    await replayed.task
    assert blocks(replayed.body) == blocks(asker.body)


async def test_an_answer_is_kept_running_without_readers_where_asked(harness: Any, pair: list[Replica]) -> None:
    first, second = pair
    first.answerer.events, first.answerer.delay = long_answer(40), 0.03
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q", "keep_running": True})
    await asker.until(lambda body: "event: delta" in body)
    asker.leave()
    await asker.task
    await asyncio.sleep(0.7)
    follower = get(harness, second, conversation, answer_of(blocks(asker.body)[0]))
    await follower.task
    assert field(blocks(follower.body)[-1], "event") == "message.completed"
    assert blocks(follower.body)[: len(blocks(asker.body))] == blocks(asker.body)


async def test_redis_flushed_under_an_answer(harness: Any, pair: list[Replica]) -> None:
    """The writer puts its events into the log again when a reader misses some."""
    first, second = pair
    first.answerer.events, first.answerer.delay = long_answer(60), 0.04
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"})
    await asker.until(lambda body: body.count("event: delta") > 5)
    await first.link.client.flushall()
    follower = get(harness, second, conversation, answer_of(blocks(asker.body)[0]))
    await asyncio.gather(asker.task, follower.task)
    assert blocks(follower.body) == blocks(asker.body)


async def test_nobody_follows_anothers_answer(harness: Any, pair: list[Replica]) -> None:
    conversation = await harness.conversation()
    asked = (await pair[0].http.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "q"})).json()
    answer, question = asked["answer"]["id"], asked["question"]["id"]
    path = f"/api/v1/conversations/{conversation}/messages"
    async with harness.client(await harness.user("other", "b@example.com")) as stranger:
        assert (await stranger.get(f"{path}/{answer}/events")).status_code == 404
        for act in ("stop", "regenerate"):
            assert (await stranger.post(f"{path}/{answer}/{act}")).status_code == 404
    other = await harness.conversation()
    assert (await harness.http.get(f"/api/v1/conversations/{other}/messages/{answer}/events")).status_code == 404
    assert (await harness.http.get(f"{path}/{question}/events")).status_code == 404
    assert (await harness.http.get(f"{path}/{answer}/events", headers={"last-event-id": "x"})).status_code == 400
