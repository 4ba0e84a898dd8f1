"""A question sent again under its Idempotency-Key: one question, one answer, whatever dies in between."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.integration.gateway.replicas import Replica, replica
from tests.integration.gateway.test_gateway_outages import cut_connections
from tests.integration.gateway.test_gateway_resume import answer_of, blocks, field, long_answer, post
from voicehelper.errors import ModelUnavailable, Unavailable
from voicehelper.rag.events import AnswerDelta, AnswerDone

SHORT = (AnswerDelta("好"), AnswerDelta("的"), AnswerDone("answered"))


@pytest.fixture
async def pair(harness: Any, redis_url: str) -> AsyncIterator[list[Replica]]:
    async with replica(harness, redis_url) as one, replica(harness, redis_url) as two:
        one.answerer.events = two.answerer.events = SHORT
        yield [one, two]


async def ask(gateway: Replica, conversation: UUID, key: str, content: str = "q") -> Any:
    path = f"/api/v1/conversations/{conversation}/messages"
    return await gateway.http.post(path, json={"content": content}, headers={"idempotency-key": key})


async def stored(harness: Any, conversation: UUID) -> list[dict[str, Any]]:
    response = await harness.http.get(f"/api/v1/conversations/{conversation}/messages?limit=200")
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def asked(pair: list[Replica]) -> int:
    """How often the model was."""
    return sum(len(gateway.answerer.questions) for gateway in pair)


async def test_a_repetition_replays_the_answer(harness: Any, pair: list[Replica]) -> None:
    conversation = await harness.conversation()
    first = await ask(pair[0], conversation, "k")
    again = [await ask(gateway, conversation, "k") for gateway in pair]
    assert [response.json() for response in again] == [first.json()] * 2
    assert [response.headers.get("idempotent-replayed") for response in (first, *again)] == [None, "true", "true"]
    streamed = post(harness, pair[1], conversation, {"content": "q"}, "k")
    await streamed.task
    assert streamed.status == 200
    assert field(blocks(streamed.body)[-1], "event") == "message.completed"
    assert asked(pair) == 1
    assert (await ask(pair[1], conversation, "k", "other")).json()["code"] == 42202
    other = await harness.conversation()
    assert (await ask(pair[1], other, "k")).json()["code"] == 42202
    assert len(await stored(harness, conversation)) == 2


async def test_a_repetition_joins_the_running_answer(harness: Any, pair: list[Replica]) -> None:
    pair[0].answerer.events, pair[0].answerer.delay = long_answer(30), 0.03
    conversation = await harness.conversation()
    first = post(harness, pair[0], conversation, {"content": "q"}, "k")
    await first.until(lambda body: "event: delta" in body)
    others = [post(harness, gateway, conversation, {"content": "q"}, "k") for gateway in pair]
    await asyncio.gather(first.task, *(other.task for other in others))
    assert [blocks(other.body) for other in others] == [blocks(first.body)] * 2
    assert asked(pair) == 1
    busy = post(harness, pair[1], conversation, {"content": "q2"})
    await busy.task
    assert busy.status == 200


async def test_150_posts_of_50_questions_make_50_turns(harness: Any, pair: list[Replica]) -> None:
    for gateway in pair:
        gateway.answerer.delay = 0.01
    conversations = [await harness.conversation() for _ in range(50)]
    posts = [(conversation, n) for n, conversation in enumerate(conversations) for _ in range(3)]
    responses = await asyncio.gather(
        *(ask(pair[turn % 2], conversation, f"k{n}", f"q{n}") for turn, (conversation, n) in enumerate(posts))
    )
    assert Counter(response.status_code for response in responses) == {200: 150}
    for n, conversation in enumerate(conversations):
        assert len({response.json()["answer"]["id"] for response in responses[3 * n : 3 * n + 3]}) == 1
        assert len(await stored(harness, conversation)) == 2
    assert asked(pair) == 50


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_died_with_its_replica_is_taken_over(
    harness: Any, pair: list[Replica], stream: bool
) -> None:
    first, second = pair
    first.answers._leases.lease_s = 2.0
    first.answerer.events, first.answerer.delay = long_answer(1000), 0.02
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"}, "k")
    await asker.until(lambda body: body.count("event: delta") > 3)
    await asyncio.sleep(0.4)
    await first.die()
    started = asyncio.get_running_loop().time()
    try:
        if stream:
            again = post(harness, second, conversation, {"content": "q"}, "k")
            await asyncio.wait_for(again.task, 10)
            assert again.status == 200, again.body
            ids = [field(block, "id") for block in blocks(again.body)]
            assert ids[-5:] == ["2.1", "2.2", "2.3", "2.4", "2.5"]
            assert answer_of(blocks(again.body)[-5]) == answer_of(blocks(asker.body)[0])
        else:
            response = await ask(second, conversation, "k")
            assert response.status_code == 200, response.text
            assert response.json()["answer"]["content"] == "好的"
            assert response.json()["answer"]["id"] == answer_of(blocks(asker.body)[0])
        assert asyncio.get_running_loop().time() - started < 4
        assert [m["status"] for m in await stored(harness, conversation)] == ["completed", "completed"]
    finally:  # the fixtures wait for every request
        asker.leave()
        await asyncio.gather(asker.task, return_exceptions=True)


async def test_what_failed_for_the_moment_is_answered_when_asked_again(harness: Any, pair: list[Replica]) -> None:
    conversation = await harness.conversation()
    pair[0].answerer.error = ModelUnavailable(retry_after=3)
    failed = await ask(pair[0], conversation, "k")
    assert (failed.status_code, failed.headers["retry-after"]) == (503, "3")
    retried = await ask(pair[1], conversation, "k")
    assert (retried.status_code, retried.json()["answer"]["content"]) == (200, "好的")
    assert len(await stored(harness, conversation)) == 2


async def test_an_asker_who_was_cut_off_gets_the_answer_on_return(harness: Any, pair: list[Replica]) -> None:
    pair[0].answerer.events, pair[0].answerer.delay = long_answer(1000), 0.02
    conversation = await harness.conversation()
    asker = post(harness, pair[0], conversation, {"content": "q"}, "k")
    await asker.until(lambda body: "event: delta" in body)
    asker.leave()
    await asker.task
    await asyncio.sleep(0.8)
    again = await ask(pair[1], conversation, "k")
    assert (again.status_code, again.json()["answer"]["content"]) == (200, "好的")
    assert len(await stored(harness, conversation)) == 2


async def test_answers_written_anew(harness: Any, pair: list[Replica]) -> None:
    first, second = pair
    conversation = await harness.conversation()
    turn = (await ask(first, conversation, "k")).json()
    path = f"/api/v1/conversations/{conversation}/messages/{turn['answer']['id']}/regenerate"
    second.answerer.events = (AnswerDelta("再"), AnswerDone("answered"))
    anew = [await gateway.http.post(path, headers={"idempotency-key": "r"}) for gateway in (second, first)]
    assert [response.json()["answer"]["content"] for response in anew] == ["再", "再"]
    assert (anew[0].json()["answer"]["id"], anew[0].json()["question"]) == (turn["answer"]["id"], turn["question"])
    assert anew[1].headers["idempotent-replayed"] == "true"
    kept = await harness.pool.fetchval("SELECT alternatives FROM messages WHERE role = 'assistant'")
    assert [alternative["content"] for alternative in kept] == ["好的"]
    assert len(second.answerer.questions) == 1
    await ask(first, conversation, "k2")
    assert (await first.http.post(path)).json()["code"] == 40901


async def test_sends_to_a_busy_conversation_name_the_running_answer(harness: Any, pair: list[Replica]) -> None:
    pair[0].answerer.delay = 0.3
    conversation = await harness.conversation()
    running = post(harness, pair[0], conversation, {"content": "q"}, "k")
    await running.until(lambda body: "message.created" in body)
    busy = await ask(pair[1], conversation, "k2")
    assert (busy.status_code, busy.json()["code"]) == (409, 40902)
    assert busy.json()["details"]["message_id"] == answer_of(blocks(running.body)[0])
    assert busy.headers["retry-after"]
    await running.task
    assert (await ask(pair[1], conversation, "k2")).status_code == 200


async def test_repeats_while_every_connection_is_lost_again_and_again(
    harness: Any, pair: list[Replica], postgres_dsn: str
) -> None:
    """Each client repeats until it has its answer; there is one of each."""
    conversations = [await harness.conversation() for _ in range(12)]
    refused: Counter[int] = Counter()

    async def client(n: int, conversation: UUID) -> str:
        for attempt in itertools.count():
            response = await ask(pair[(n + attempt) % 2], conversation, f"k{n}", f"q{n}")
            if response.status_code == 200:
                return str(response.json()["answer"]["id"])
            refused[response.status_code] += 1
            if response.status_code == 503:
                assert response.headers["retry-after"]
            await asyncio.sleep(0.05)
        raise AssertionError

    async def cuts() -> None:
        for _ in range(8):
            await cut_connections(postgres_dsn)
            await asyncio.sleep(0.04)

    cutting = asyncio.create_task(cuts())
    async with asyncio.timeout(30):
        for _ in range(3):  # the same three times over
            ids = await asyncio.gather(*(client(n, conversation) for n, conversation in enumerate(conversations)))
            assert len(set(ids)) == 12
    await cutting
    assert set(refused) <= {503, 409}
    for n, conversation in enumerate(conversations):
        messages = await stored(harness, conversation)
        assert [(m["role"], m["status"]) for m in messages] == [("user", "completed"), ("assistant", "completed")]
        assert (messages[0]["content"], messages[1]["id"]) == (f"q{n}", ids[n])


async def test_without_redis_answers_come_all_the_same(harness: Any, pair: list[Replica]) -> None:
    first, second = pair

    async def away(*_arguments: object, **_options: object) -> Any:
        raise Unavailable

    for gateway in pair:
        gateway.link.call = away  # type: ignore[method-assign]
    first.answerer.events, first.answerer.delay = long_answer(20), 0.05
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"}, "k")
    await asker.until(lambda body: "event: delta" in body)
    path = f"/api/v1/conversations/{conversation}/messages/{answer_of(blocks(asker.body)[0])}/events"
    elsewhere = await second.http.get(path)
    assert (elsewhere.status_code, elsewhere.headers["retry-after"]) == (503, "1")
    again = await ask(second, conversation, "k")  # waits for the row
    await asker.task
    assert again.json()["answer"]["status"] == "completed"
    assert field(blocks(asker.body)[-1], "event") == "message.completed"
    replayed = await second.http.get(path)
    assert blocks(replayed.content) == blocks(asker.body)
