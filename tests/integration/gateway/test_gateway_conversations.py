"""Conversations over HTTP: finding, changing, exporting, judging, reviewing."""

from typing import Any
from uuid import uuid4

import pytest

PATH = "/api/v1/conversations"


async def ask(harness: Any, conversation: Any, content: str = "怎么退货？", **more: Any) -> dict[str, Any]:
    response = await harness.http.post(f"{PATH}/{conversation}/messages", json={"content": content, **more})
    assert response.status_code == 200, response.text
    return response.json()


async def test_search_pages_and_archive(harness: Any) -> None:
    ids = []
    for number in range(7):
        response = await harness.http.post(PATH, json={"title": f"订单{number}"})
        ids.append(response.json()["id"])
        assert response.json()["version"] == 1
    found, cursor = [], None
    while True:
        params = {"q": "订单", "limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await harness.http.get(PATH, params=params)).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ids[::-1]
    response = await harness.http.patch(f"{PATH}/{ids[0]}", json={"version": 1, "archived": True})
    assert (response.status_code, response.json()["archived"], response.json()["version"]) == (200, True, 2)
    assert [item["id"] for item in (await harness.http.get(f"{PATH}?archived=true")).json()["items"]] == [ids[0]]
    assert ids[0] not in (await harness.http.get(PATH)).text
    await ask(harness, ids[3], "请问 KX-3 保修多久？")
    listed = (await harness.http.get(PATH, params={"q": "kx-3"})).json()["items"]
    assert [item["id"] for item in listed] == [ids[3]]


async def test_a_change_names_the_version_it_saw(harness: Any) -> None:
    path = f"{PATH}/{await harness.conversation()}"
    assert (await harness.http.patch(path, json={"version": 1, "title": "新名字"})).json()["title"] == "新名字"
    stale = await harness.http.patch(path, json={"version": 1, "title": "别的"})
    assert (stale.status_code, stale.json()["code"], stale.json()["details"]["version"]) == (409, 40903, 2)
    for body in ({}, {"version": 0}, {"version": 2, "title": " "}, {"version": 2, "colour": 1}, {"version": "2"}):
        assert (await harness.http.patch(path, json=body)).status_code == 400, body
    assert (await harness.http.patch(path, json={"version": 2})).json()["version"] == 2
    assert (await harness.http.patch(f"{PATH}/{uuid4()}", json={"version": 1, "title": "x"})).status_code == 404


async def test_a_question_does_not_spoil_the_version(harness: Any) -> None:
    conversation = (await harness.http.post(PATH, json={"title": "已有名字"})).json()["id"]
    await ask(harness, conversation)
    renamed = await harness.http.patch(f"{PATH}/{conversation}", json={"version": 1, "title": "改名"})
    assert renamed.status_code == 200


async def test_attachments_are_kept_with_the_question(harness: Any) -> None:
    conversation = await harness.conversation()
    attachment = {"name": "发票.pdf", "content_type": "application/pdf", "size_bytes": 1234, "url": None}
    turn = await ask(harness, conversation, attachments=[attachment])
    assert turn["question"]["attachments"] == [attachment]
    messages = (await harness.http.get(f"{PATH}/{conversation}/messages")).json()["items"]
    assert [message["attachments"] for message in messages] == [[attachment], []]
    for bad in ({"url": "file:///etc/passwd"}, {"size_bytes": -1}, {"content_type": "pdf"}, {"name": ""}):
        body = {"content": "q", "attachments": [attachment | bad]}
        assert (await harness.http.post(f"{PATH}/{conversation}/messages", json=body)).status_code == 400, bad


async def test_export_in_both_formats(harness: Any) -> None:
    conversation = (await harness.http.post(PATH, json={"title": "导出"})).json()["id"]
    turn = await ask(harness, conversation)
    exported = await harness.http.get(f"{PATH}/{conversation}/export")
    assert exported.headers["content-type"] == "application/json"
    assert f'filename="conversation-{conversation}.json"' in exported.headers["content-disposition"]
    document = exported.json()
    assert document["conversation"]["title"] == "导出"
    assert [message["id"] for message in document["messages"]] == [turn["question"]["id"], turn["answer"]["id"]]
    text = await harness.http.get(f"{PATH}/{conversation}/export?format=markdown", headers={"Accept-Language": "zh"})
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# 导出\n")
    assert "> 怎么退货？" in text.text
    missing = await harness.http.get(f"{PATH}/{uuid4()}/export")
    assert (missing.status_code, missing.json()["code"]) == (404, 40401)
    assert (await harness.http.get(f"{PATH}/{conversation}/export?format=pdf")).status_code == 400


async def test_feedback_shows_with_the_answer(harness: Any) -> None:
    conversation = await harness.conversation()
    turn = await ask(harness, conversation)
    path = f"{PATH}/{conversation}/messages/{turn['answer']['id']}/feedback"
    given = await harness.http.put(path, json={"rating": "down", "comment": "答非所问"})
    assert (given.status_code, given.json()["rating"], given.json()["comment"]) == (200, "down", "答非所问")
    messages = (await harness.http.get(f"{PATH}/{conversation}/messages")).json()["items"]
    assert [message["rating"] for message in messages] == [None, "down"]
    colleague = harness.client(await harness.user("default", "m@example.com", "member"))
    assert (await colleague.put(path, json={"rating": "up"})).status_code == 404
    assert (await harness.http.put(path, json={"rating": "sideways"})).status_code == 400
    question = path.replace(turn["answer"]["id"], turn["question"]["id"])
    assert (await harness.http.put(question, json={"rating": "up"})).status_code == 404
    for _ in range(2):
        assert (await harness.http.delete(path)).status_code == 204


async def test_feedback_stays_with_what_the_answer_said(harness: Any) -> None:
    conversation = await harness.conversation()
    answer = (await ask(harness, conversation))["answer"]
    path = f"{PATH}/{conversation}/messages/{answer['id']}"
    assert (await harness.http.put(f"{path}/feedback", json={"rating": "down", "comment": "旧的"})).status_code == 200
    again = await harness.http.post(f"{path}/regenerate", json={})
    assert again.status_code == 200, again.text
    stored = (await harness.http.get(f"{PATH}/{conversation}/messages")).json()["items"][1]
    assert (stored["id"], stored["rating"]) == (answer["id"], None)
    [before] = stored["alternatives"]
    assert (before["content"], before["rating"], before["comment"]) == (answer["content"], "down", "旧的")


async def test_operators_review_and_are_written_down(harness: Any) -> None:
    member = await harness.user("default", "m@example.com", "member")
    theirs = harness.client(member)
    conversation = (await theirs.post(PATH, json={"title": "私下"})).json()["id"]
    assert (await theirs.post(f"{PATH}/{conversation}/messages", json={"content": "在吗"})).status_code == 200
    operator = harness.client(await harness.user("default", "o@example.com", "agent_operator"))
    assert (await operator.get(f"{PATH}/{conversation}")).status_code == 404
    page = await operator.get("/api/v1/review/conversations", params={"user_id": str(member.id), "q": "在吗"})
    assert [(item["id"], item["user_id"]) for item in page.json()["items"]] == [(conversation, str(member.id))]
    messages = (await operator.get(f"/api/v1/review/conversations/{conversation}/messages")).json()["items"]
    assert messages[0]["content"] == "在吗"
    assert (await theirs.get("/api/v1/review/conversations")).status_code == 403
    outsider = harness.client(await harness.user("rival", "r@example.com"))
    assert (await outsider.get("/api/v1/review/conversations")).json()["items"] == []
    assert (await outsider.get(f"/api/v1/review/conversations/{conversation}/messages")).status_code == 404
    acts = await harness.pool.fetch(
        "SELECT action, resource_id FROM audit_logs WHERE action LIKE 'conversation.%' AND tenant_id = $1 ORDER BY id",
        member.tenant_id,
    )
    assert [tuple(act) for act in acts] == [("conversation.listed", ""), ("conversation.reviewed", conversation)]
    elsewhere = "SELECT count(*) FROM audit_logs WHERE action = 'conversation.reviewed' AND tenant_id <> $1"
    assert await harness.pool.fetchval(elsewhere, member.tenant_id) == 0, "what is not there is not reviewed"


@pytest.mark.parametrize("query", ["q=%00", "q=" + "a" * 101, "archived=maybe", "limit=0", "limit=201", "cursor=x"])
async def test_bad_filters_are_refused(harness: Any, query: str) -> None:
    assert (await harness.http.get(f"{PATH}?{query}")).status_code == 400
