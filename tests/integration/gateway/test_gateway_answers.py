"""Asking through HTTP: whole and streamed, stopped, failed, at once."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from voicehelper.errors import ModelUnavailable, Overloaded
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerStatus, Citation

CITATION = Citation(1, 0, 8, new_id(), new_id(), "退款.md", 2, ("售后", "退款"), "款项3天内到账。", 0.83)
EVENTS = (
    AnswerStatus("searching"),
    AnswerStatus("answering"),
    AnswerDelta("退款"),
    AnswerDelta("3天内到账。\n\n第二段"),
    AnswerCitations((CITATION,)),
    AnswerDone("answered", ChatUsage(10, 4, 2), "fake", ("keyword",), {"total": 12.5}, {"rewritten": "退款"}),
)


def parse(text: str) -> list[tuple[str, str, Any]]:
    """(id, event, data) of a stream, comments left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return events


async def messages(harness: Any, conversation: UUID) -> list[dict[str, Any]]:
    response = await harness.http.get(f"/api/v1/conversations/{conversation}/messages")
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def ask(harness: Any, conversation: UUID, content: str = "退款多久到账？", **options: Any) -> Any:
    path = f"/api/v1/conversations/{conversation}/messages"
    return await harness.http.post(path, json={"content": content, **options})


async def stopped_within_a_second(harness: Any, conversation: UUID) -> dict[str, Any]:
    """The answer whose reader has just left."""
    async with asyncio.timeout(1):
        while not harness.answerer.stopped:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        while (answer := (await messages(harness, conversation))[1])["status"] == "streaming":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (answer["status"], answer["metadata"]["reason"]) == ("stopped", "left")
    return answer


async def test_a_whole_answer(harness: Any) -> None:
    harness.answerer.events = EVENTS
    conversation = await harness.conversation()
    response = await ask(harness, conversation)
    assert response.status_code == 200, response.text
    answer = response.json()["answer"]
    assert answer["content"] == "退款3天内到账。\n\n第二段"
    assert answer["status"] == "completed"
    assert answer["metadata"]["degraded"] == ["keyword"]
    assert answer["metadata"]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "cached_tokens": 2,
        "reasoning_tokens": 0,
    }
    assert answer["citations"][0]["quote"] == "款项3天内到账。"
    assert answer["citations"][0]["heading"] == ["售后", "退款"]
    assert [m["role"] for m in await messages(harness, conversation)] == ["user", "assistant"]
    assert (await messages(harness, conversation))[1] == answer
    title = (await harness.http.get(f"/api/v1/conversations/{conversation}")).json()["title"]
    assert title == "退款多久到账？"


@pytest.mark.parametrize("way", ["header", "body"])
async def test_events_come_typed_and_in_order(harness: Any, way: str) -> None:
    harness.answerer.events = EVENTS
    conversation = await harness.conversation()
    path = f"/api/v1/conversations/{conversation}/messages"
    body = {"content": "退款多久到账？", **({"stream": True} if way == "body" else {})}
    headers = {"Accept": "text/event-stream"} if way == "header" else {}
    response = await harness.http.post(path, json=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse(response.text)
    names = [name for _, name, _ in events]
    assert names == [
        "message.created", "status", "status", "delta", "delta", "citation", "usage", "message.completed",
    ]  # fmt: skip
    assert [int(number) for number, _, _ in events] == list(range(1, 9))
    created, completed = events[0][2], events[-1][2]["message"]
    assert created["question"]["content"] == "退款多久到账？"
    assert created["answer"]["id"] == completed["id"]
    assert created["answer"]["status"] == "streaming"
    assert completed["content"] == "".join(data["text"] for _, name, data in events if name == "delta")
    assert events[5][2]["document_name"] == "退款.md"


async def test_odd_line_separators_do_not_cut_events(harness: Any) -> None:
    text = "一\u2028二\u2029三\x85四\r五\r\n六"
    harness.answerer.events = (AnswerDelta(text), AnswerDone("answered"))
    response = await ask(harness, await harness.conversation(), stream=True)
    data = [line for line in response.text.splitlines() if line.startswith("data: ")]
    assert json.loads(data[1].removeprefix("data: ")) == {"text": text}


async def test_a_character_sent_in_halves(harness: Any) -> None:
    harness.answerer.events = (AnswerDelta("\ud83d"), AnswerDelta("\ude00\x00"), AnswerDone("answered"))
    response = await ask(harness, await harness.conversation(), stream=True)
    name, data = parse(response.text)[-1][1:]
    assert (name, data["message"]["content"]) == ("message.completed", "\U0001f600")


async def test_errors_before_the_first_event_are_real_responses(harness: Any) -> None:
    conversation = await harness.conversation()
    for body, status in [({"content": "x", "knowledge_bases": ["nope"]}, 404), ({"content": ""}, 400)]:
        response = await harness.http.post(
            f"/api/v1/conversations/{conversation}/messages", json=body, headers={"Accept": "text/event-stream"}
        )
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
    assert await messages(harness, conversation) == []


async def test_a_failing_model_ends_the_stream_with_an_error_event(harness: Any) -> None:
    harness.answerer.events, harness.answerer.error = EVENTS[:3], Overloaded("queue full", retry_after=2)
    conversation = await harness.conversation()
    response = await ask(harness, conversation, stream=True)
    name, data = parse(response.text)[-1][1:]
    assert (name, data["code"], data["details"]["retry_after"]) == ("error", 42902, 2)
    question, answer = await messages(harness, conversation)
    assert (question["content"], question["status"]) == ("退款多久到账？", "completed")
    assert (answer["status"], answer["content"]) == ("failed", "退款")
    assert answer["metadata"]["error"] == {"code": 42902}
    # the conversation goes on
    harness.answerer.events, harness.answerer.error = EVENTS, None
    assert (await ask(harness, conversation)).status_code == 200


async def test_a_failing_model_is_a_real_error_for_json(harness: Any) -> None:
    harness.answerer.error = ModelUnavailable(retry_after=5)
    response = await ask(harness, await harness.conversation())
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (503, 50302, "5")


async def test_a_crash_in_the_stream_tells_nothing(harness: Any) -> None:
    harness.answerer.events, harness.answerer.error = EVENTS[:3], RuntimeError("/srv/secret.py hunter2")
    response = await ask(harness, await harness.conversation(), stream=True)
    name, data = parse(response.text)[-1][1:]
    assert (name, data["code"]) == ("error", 50000)
    assert "hunter2" not in response.text


async def test_an_answer_that_takes_too_long(harness: Any) -> None:
    harness.services.answers._writer.answer_timeout_s = 0.05
    harness.answerer.events, harness.answerer.delay = EVENTS, 10
    conversation = await harness.conversation()
    response = await ask(harness, conversation)
    assert (response.status_code, response.json()["code"]) == (504, 50401)
    assert (await messages(harness, conversation))[1]["status"] == "failed"
    assert harness.answerer.stopped == 1


async def test_history_and_scope_reach_the_answerer(harness: Any) -> None:
    kb = await harness.base("售后")
    other = await harness.base("其他")
    response = await harness.http.post("/api/v1/conversations", json={"knowledge_bases": ["售后"]})
    conversation = UUID(response.json()["id"])
    harness.answerer.events = EVENTS
    await ask(harness, conversation, "一")
    harness.answerer.error = ModelUnavailable()
    await ask(harness, conversation, "二 fails")
    harness.answerer.error = None
    await ask(harness, conversation, "三")
    await ask(harness, conversation, "四", knowledge_bases=[str(other)])
    questions = harness.answerer.questions
    assert [turn.question for turn in questions[2].history] == ["一"]
    assert [turn.question for turn in questions[3].history] == ["一", "三"]
    assert (questions[0].kb_ids, questions[3].kb_ids) == ((kb,), (other,))
    unscoped = await harness.conversation()
    await ask(harness, unscoped)
    assert set(questions[4].kb_ids) == {kb, other}


async def test_one_answer_at_a_time(harness: Any, live: Callable[..., Any]) -> None:
    harness.answerer.events, harness.answerer.delay = EVENTS, 0.2
    conversation = await harness.conversation()
    first = live(conversation, "一")
    await first.until(lambda body: "delta" in body)
    for _ in range(3):
        busy = await ask(harness, conversation, "二")
        assert (busy.status_code, busy.json()["code"]) == (409, 40902)
    await first.task
    assert parse(first.body.decode())[-1][1] == "message.completed"
    assert [m["content"] for m in await messages(harness, conversation)][0::2] == ["一"]


async def test_simultaneous_questions_are_ordered(harness: Any) -> None:
    harness.answerer.events, harness.answerer.delay = EVENTS, 0.02
    conversation = await harness.conversation()
    responses = await asyncio.gather(*(ask(harness, conversation, f"q{n}") for n in range(8)))
    won = [r for r in responses if r.status_code == 200]
    assert {r.status_code for r in responses} <= {200, 409}
    assert len(won) >= 1
    stored = await messages(harness, conversation)
    assert [m["seq"] for m in stored] == list(range(1, 2 * len(won) + 1))
    assert [m["role"] for m in stored] == ["user", "assistant"] * len(won)


async def test_leaving_stops_the_model_and_keeps_the_part(harness: Any, live: Callable[..., Any]) -> None:
    harness.answerer.events, harness.answerer.delay = (AnswerDelta("好"),) * 500, 0.02
    conversation = await harness.conversation()
    request = live(conversation, "讲很久")
    await request.until(lambda body: body.count("event: delta") >= 3)
    request.leave()
    await asyncio.wait_for(request.task, 1.0)
    answer = await stopped_within_a_second(harness, conversation)
    assert answer["content"].startswith("好好好")
    harness.answerer.events = EVENTS
    assert (await ask(harness, conversation)).status_code == 200


async def test_leaving_while_the_model_is_silent_stops_it(harness: Any, live: Callable[..., Any]) -> None:
    harness.answerer.delay = 60
    conversation = await harness.conversation()
    request = live(conversation, "silence")
    await request.until(lambda body: "message.created" in body)
    request.leave()
    await asyncio.wait_for(request.task, 1.0)
    await stopped_within_a_second(harness, conversation)


async def test_the_server_cancelling_the_request_stops_the_model(harness: Any, live: Callable[..., Any]) -> None:
    """Ray Serve cancels the request's task when its client leaves."""
    harness.answerer.delay = 60
    conversation = await harness.conversation()
    request = live(conversation, "cancelled")
    await request.until(lambda body: "message.created" in body)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(request.task, 1.0)
    await stopped_within_a_second(harness, conversation)


async def test_leaving_a_json_answer_stops_the_model(harness: Any) -> None:
    harness.answerer.delay = 60
    conversation = await harness.conversation()
    sent, left = False, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": b'{"content": "x"}', "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise AssertionError("nobody is there")

    headers = [
        (b"content-type", b"application/json"),
        (b"authorization", harness.http.headers["authorization"].encode()),
    ]
    path = f"/api/v1/conversations/{conversation}/messages"
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    task = asyncio.create_task(harness.app(scope, receive, send))
    async with asyncio.timeout(5):
        while not harness.answerer.questions:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0.01)
    left.set()
    await asyncio.wait_for(task, 1.0)
    await stopped_within_a_second(harness, conversation)


async def test_silence_is_bridged_by_comments(
    harness: Any, live: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicehelper.gateway.stream.EventStream.keep_alive_s", 0.02)
    harness.answerer.events, harness.answerer.delay = EVENTS[-1:], 0.2
    request = live(await harness.conversation(), "x")
    await request.task
    assert ": keep-alive\n\n" in request.body.decode()
    assert [name for _, name, _ in parse(request.body.decode())] == ["message.created", "usage", "message.completed"]


async def test_a_conversation_deleted_under_its_answer(harness: Any, live: Callable[..., Any]) -> None:
    harness.answerer.events, harness.answerer.delay = EVENTS, 0.05
    conversation = await harness.conversation()
    request = live(conversation, "x")
    await request.until(lambda body: "message.created" in body)
    assert (await harness.http.delete(f"/api/v1/conversations/{conversation}")).status_code == 204
    await request.task
    assert parse(request.body.decode())[-1][1:][0] == "error"


async def test_conversations_are_paged_by_last_change(harness: Any) -> None:
    ids = [await harness.conversation() for _ in range(5)]
    await ask(harness, ids[1])
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await harness.http.get("/api/v1/conversations", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(ids[n]) for n in (1, 4, 3, 2, 0)]


async def test_messages_are_paged(harness: Any) -> None:
    conversation = await harness.conversation()
    for n in range(3):
        assert (await ask(harness, conversation, f"q{n}")).status_code == 200
    path = f"/api/v1/conversations/{conversation}/messages"
    first = (await harness.http.get(path, params={"limit": 4})).json()
    rest = (await harness.http.get(path, params={"limit": 4, "after": first["next_cursor"]})).json()
    assert [m["seq"] for m in first["items"] + rest["items"]] == [1, 2, 3, 4, 5, 6]
    assert rest["next_cursor"] is None
