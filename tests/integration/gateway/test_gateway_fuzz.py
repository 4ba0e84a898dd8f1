"""Random bodies, paths and headers: never a 5xx, always our format."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = {"Content-Type": "application/json"}
TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["\x00", "\ud800", "﷽" * 50, "' OR 1=1 --", "../..", "%s%n"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
FIELDS = st.sampled_from(
    ["content", "knowledge_bases", "stream", "title", "name", "description", "query", "top_k", "email", "password"]
)
BODIES = st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES
FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def well_answered(response: Any) -> None:
    assert response.status_code < 500, (response.request.url, response.text)
    if response.status_code >= 400 and response.request.method != "HEAD":
        body = response.json()
        assert set(body) == {"code", "message", "details", "trace_id"}
        assert body["code"] // 100 == response.status_code


async def in_thread(test: Callable[[Callable[[Coroutine[Any, Any, Any]], Any]], None]) -> None:
    """Hypothesis is synchronous: run `test` in a thread that can have this loop do requests."""
    loop = asyncio.get_running_loop()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    await asyncio.to_thread(test, run)


async def test_random_json_bodies(harness: Any) -> None:
    conversation = await harness.conversation()
    routes = [
        ("POST", "/api/v1/auth/login"),
        ("POST", "/api/v1/search"),
        ("POST", "/api/v1/knowledge/bases"),
        ("POST", "/api/v1/conversations"),
        ("POST", f"/api/v1/conversations/{conversation}/messages"),
    ]

    def test(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        @FUZZ
        @given(st.sampled_from(routes), BODIES)
        def fuzz(route: tuple[str, str], body: Any) -> None:
            content = json.dumps(body).encode()  # escapes surrogates, writes NaN: what a hostile client may send
            well_answered(run(harness.http.request(*route, content=content, headers=JSON)))

        fuzz()

    await in_thread(test)
    assert (await harness.http.get("/health")).status_code == 200


async def test_random_bytes(harness: Any) -> None:
    kb, conversation = await harness.base(), await harness.conversation()
    paths = [
        "/api/v1/search",
        f"/api/v1/conversations/{conversation}/messages",
        f"/api/v1/knowledge/bases/{kb}/documents",
    ]
    kinds = [
        "application/json",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=b",
        "text/plain",
        "",
    ]
    pieces = st.binary(max_size=60) | st.sampled_from(
        [
            b"--b\r\n",
            b"--b--\r\n",
            b'Content-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n',
            b"\r\n",
            b"{",
        ]
    )

    def test(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        @FUZZ
        @given(st.sampled_from(paths), st.sampled_from(kinds), st.lists(pieces, max_size=6))
        def fuzz(path: str, kind: str, body: list[bytes]) -> None:
            well_answered(run(harness.http.post(path, content=b"".join(body), headers={"Content-Type": kind})))

        fuzz()

    await in_thread(test)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_random_paths_and_queries(harness: Any, method: str) -> None:
    segments = (
        st.sampled_from(
            ["api", "v1", "knowledge", "bases", "documents", "status", "conversations", "messages", "me", "search"]
        )
        | st.text(st.characters(codec="utf-8"), max_size=12)
        | st.builds(lambda: str(uuid4()))
    )
    names = st.sampled_from(["limit", "cursor", "after", "status", "x"])

    def test(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        @FUZZ
        @given(
            st.lists(segments, max_size=5), st.dictionaries(names, st.text(st.characters(codec="utf-8"), max_size=9))
        )
        def fuzz(parts: list[str], query: dict[str, str]) -> None:
            path = "/api/v1/" + "/".join(quote(part, safe="") for part in parts)
            well_answered(run(harness.http.request(method, path, params=query)))

        fuzz()

    await in_thread(test)


async def test_random_headers(harness: Any) -> None:
    names = st.sampled_from(
        ["Accept", "Accept-Language", "Content-Length", "Authorization", "traceparent", "tracestate", "X-Request-Id"]
    )
    values = st.binary(max_size=60).filter(lambda value: b"\r" not in value and b"\n" not in value)

    def test(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        @FUZZ
        @given(st.dictionaries(names, values, max_size=3))
        def fuzz(headers: dict[str, bytes]) -> None:
            raw = [(name.encode(), value) for name, value in headers.items()]
            well_answered(run(harness.http.get("/api/v1/conversations", headers=raw)))

        fuzz()

    await in_thread(test)
