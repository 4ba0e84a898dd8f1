"""Bad input is a 4xx of our format, never a 5xx, and the service keeps answering."""

import json
from typing import Any
from uuid import uuid4

from voicehelper.errors import VoiceHelperError

NUL = "a\x00b"
DEEP = "[" * 40_000 + "]" * 40_000


def is_ours(response: Any) -> bool:
    """Whether the body has exactly our four fields and the code fits the status."""
    body = response.json()
    return set(body) == {"code", "message", "details", "trace_id"} and body["code"] // 100 == response.status_code


BROKEN_BODIES = [
    (b"", 40001),
    (b"{", 40003),
    (b"{'a': 1}", 40003),
    (b"\xff\xfe{}", 40003),
    (b"nul", 40003),
    (b"[]", 40001),
    (b"null", 40001),
    (b"42", 40001),
    (b'"text"', 40001),
    (b'{"content": null}', 40001),
    (b'{"content": ""}', 40001),
    (b'{"content": "   "}', 40001),
    (b'{"content": 5}', 40001),
    (b'{"content": "x", "unknown": 1}', 40001),
    (b'{"content": "a\\u0000b"}', 40001),
    (b'{"content": "\\ud800"}', 40001),
    (b'{"content": "x", "stream": 1e999}', 40001),
    (b'{"content": "x", "knowledge_bases": ["\\u0000"]}', 40001),
    (b'{"content": "x", "knowledge_bases": "all"}', 40001),
    (b'{"content": ' + b"9" * 10_000 + b"}", 40003),
    (b'{"content": "' + b"x" * 8001 + b'"}', 40001),
]


async def test_broken_bodies(harness: Any) -> None:
    for content, code in BROKEN_BODIES:
        path = f"/api/v1/conversations/{await harness.conversation()}/messages"
        response = await harness.http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert response.json()["code"] == code, (content[:100], response.text)
        assert is_ours(response)


async def test_json_deeper_than_the_parser_goes(harness: Any) -> None:
    content = DEEP[:49_000] if len(DEEP) > 49_000 else DEEP
    response = await harness.http.post("/api/v1/search", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    assert is_ours(response)


async def test_a_body_of_another_type(harness: Any) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data", "/;;"):
        response = await harness.http.post("/api/v1/search", content=b"query=x", headers={"Content-Type": kind})
        assert 400 <= response.status_code < 500, (kind, response.text)
        assert is_ours(response)


NO_IDS = ["0", "abc", "%00", "..", "%F0%9F", "1" * 3000, "00000000-0000-0000-0000-00000000000g"]


async def test_ids_that_are_none(harness: Any) -> None:
    for bad in NO_IDS:
        for path in (
            f"/api/v1/knowledge/bases/{bad}",
            f"/api/v1/knowledge/documents/{bad}",
            f"/api/v1/knowledge/documents/{bad}/status",
            f"/api/v1/conversations/{bad}",
            f"/api/v1/conversations/{bad}/messages",
        ):
            response = await harness.http.get(path)
            assert response.status_code in {400, 404}, (path, response.text)
            assert response.json()["code"] in {40002, 40401}


async def test_ids_that_are_nobodys(harness: Any) -> None:
    for path in ("knowledge/bases", "knowledge/documents", "conversations"):
        for method in ("GET", "DELETE"):
            response = await harness.http.request(method, f"/api/v1/{path}/{uuid4()}")
            assert (response.status_code, response.json()["code"]) == (404, 40401)


BAD_PAGING = [
    "limit=0",
    "limit=-1",
    "limit=201",
    "limit=x",
    "limit=99999999999999999999",
    "cursor=x",
    "cursor=%00",
    "cursor=退",
]


async def test_bad_paging(harness: Any) -> None:
    for query in BAD_PAGING:
        for path in ("/api/v1/conversations", "/api/v1/knowledge/bases"):
            response = await harness.http.get(f"{path}?{query}")
            assert response.status_code == 400, (path, query, response.text)
            assert is_ours(response)


async def test_bad_message_paging(harness: Any) -> None:
    conversation = await harness.conversation()
    for after in ("-1", "x", str(2**31), str(2**64)):
        response = await harness.http.get(f"/api/v1/conversations/{conversation}/messages?after={after}")
        assert response.status_code == 400


async def test_unknown_routes_and_methods(harness: Any) -> None:
    unknown = await harness.http.get("/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 40401)
    assert (await harness.http.get("/nothing")).json()["code"] == 40401
    method = await harness.http.put("/api/v1/search", json={})
    assert (method.status_code, method.json()["code"]) == (405, 40501)
    assert "POST" in method.headers["allow"]
    odd = await harness.http.request("BREW", "/api/v1/search")
    assert odd.status_code == 405
    assert (await harness.http.get("/api/v1/conversations/")).status_code == 404


async def test_a_body_over_the_limit_is_refused_before_it_is_read(harness: Any) -> None:
    read = 0

    async def body() -> Any:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 10_000

    announced = await harness.http.post(
        "/api/v1/search", content=body(), headers={"Content-Length": "1000000", "Content-Type": "application/json"}
    )
    assert (announced.status_code, announced.json()["code"]) == (413, 41301)
    assert read == 0
    streamed = await harness.http.post("/api/v1/search", content=body(), headers={"Content-Type": "application/json"})
    assert (streamed.status_code, streamed.json()["code"]) == (413, 41301)
    assert read < 10


NO_LENGTHS = ["-5", "abc", "1e9", "9" * 30, "²"]


async def test_a_content_length_that_is_no_number(harness: Any) -> None:
    for length in NO_LENGTHS:
        response = await harness.http.post(
            "/api/v1/search",
            content=b"{}",
            headers={"Content-Length": length.encode(), "Content-Type": "application/json"},
        )
        assert response.status_code == 400
        assert is_ours(response)


async def test_an_unforeseen_failure_says_nothing_but_its_trace(harness: Any) -> None:
    async def crash(*_: Any) -> None:
        raise RuntimeError("password=hunter2 at /srv/secret.py")

    harness.retriever.retrieve = crash
    response = await harness.http.post("/api/v1/search", json={"query": "x"}, headers={"Accept-Language": "en"})
    body = response.json()
    assert response.status_code == 500
    assert body == {"code": 50000, "message": "Internal error", "details": {}, "trace_id": body["trace_id"]}
    assert len(body["trace_id"]) == 32


async def test_values_the_client_sent_are_not_echoed(harness: Any) -> None:
    response = await harness.client(None).post(
        "/api/v1/auth/login", json={"email": "a@b.c", "password": {"hunter2": "hunter3"}}
    )
    assert response.status_code == 400
    assert "hunter" not in response.text
    assert response.json()["details"]["fields"][0]["field"] == "body.password"


async def test_messages_come_in_the_callers_language(harness: Any) -> None:
    for language, text in [
        ("en-US,en;q=0.9", "Not found"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "未找到"),
        ("fr", "未找到"),
        ("en;q=0.1, zh-TW;q=0.9", "未找到"),
        ("", "未找到"),
        ("en;q=oops, zh;q=0", "未找到"),
    ]:
        response = await harness.http.get("/api/v1/nothing", headers={"Accept-Language": language})
        assert response.json()["message"] == text, language


async def test_retry_after_on_overload(harness: Any) -> None:
    class Full(VoiceHelperError):
        code = 42902

    async def full(*_: Any) -> None:
        raise Full("queue full", retry_after=3.2)

    harness.retriever.retrieve = full
    response = await harness.http.post("/api/v1/search", json={"query": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "4")
    assert response.json()["details"]["reason"] == "queue full"


async def test_strings_postgres_cannot_hold_are_refused_everywhere(harness: Any) -> None:
    for path, body in [
        ("/api/v1/knowledge/bases", {"name": NUL}),
        ("/api/v1/knowledge/bases", {"name": "ok", "description": NUL}),
        ("/api/v1/conversations", {"title": NUL}),
        ("/api/v1/conversations", {"knowledge_bases": [NUL]}),
        ("/api/v1/search", {"query": NUL}),
        ("/api/v1/search", {"query": "x", "knowledge_bases": [NUL]}),
        ("/api/v1/auth/login", {"email": NUL, "password": "x"}),
    ]:
        response = await harness.http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert response.status_code == 400, (path, body, response.text)
    assert (await harness.http.get("/health")).status_code == 200
