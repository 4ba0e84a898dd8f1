"""Health, readiness, metrics, headers, the access log, the API document."""

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from voicehelper.errors import Unavailable
from voicehelper.gateway.middleware.authentication import OPEN

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_health_asks_nobody(harness: Any) -> None:
    harness.broken_probes.update({"postgres", "chat", "redis"})
    response = await harness.client(None).get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


async def test_ready_names_every_engine(harness: Any) -> None:
    response = await harness.client(None).get("/ready")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "ready"
    assert set(body["engines"]) == {"postgres", "chat", "redis"}
    assert body["engines"]["chat"]["detail"] == "fake"


async def test_an_optional_engine_only_degrades(harness: Any) -> None:
    harness.broken_probes.add("redis")
    response = await harness.client(None).get("/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["engines"]["redis"]["status"] == "missing"


async def test_a_missing_engine_makes_it_unready(harness: Any) -> None:
    harness.broken_probes.add("chat")
    response = await harness.client(None).get("/ready")
    assert (response.status_code, response.json()["code"]) == (503, 50301)
    assert response.json()["details"]["missing"] == ["chat"]
    assert response.headers["retry-after"] == "2"
    assert "secret-host" not in response.text


async def test_a_lost_database_is_503_everywhere(harness: Any) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("The database is not available")

    harness.services.conversations._repository.page = away
    response = await harness.http.get("/api/v1/conversations")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_metrics_count_by_template_without_ids(harness: Any) -> None:
    conversation = await harness.conversation()
    await harness.http.get(f"/api/v1/conversations/{conversation}")
    await harness.http.get(f"/api/v1/nothing/{conversation}")
    text = (await harness.client(None).get("/metrics")).text
    line = 'voicehelper_requests_total{method="GET",route="/api/v1/conversations/{conversation_id}",status="200"}'
    assert line in text
    assert 'route="unmatched",status="404"' in text
    assert str(conversation) not in text


async def test_responses_carry_trace_and_safety(harness: Any) -> None:
    sent = f"00-{TRACE}-00f067aa0ba902b7-01"
    response = await harness.http.get("/api/v1/nothing", headers={"traceparent": sent, "X-Request-Id": "abc-1"})
    assert response.json()["trace_id"] == TRACE
    assert response.headers["traceparent"].split("-")[1] == TRACE
    assert response.headers["x-request-id"] == "abc-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    for bad in ("00-zz-1-01", "", "x" * 500, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        response = await harness.http.get("/api/v1/nothing", headers={"traceparent": bad, "X-Request-Id": "a b\x7f"})
        assert len(response.json()["trace_id"]) == 32
        assert set(response.json()["trace_id"]) != {"0"}
        assert response.headers["x-request-id"] != "a b\x7f"


async def test_the_access_log_has_no_personal_data(harness: Any) -> None:
    with capture_logs() as logs:
        await harness.client(None).post(
            "/api/v1/auth/login?phone=13800138000", json={"email": "admin@example.com", "password": "hunter2hunter2"}
        )
        await harness.http.get("/health")
    served = [entry for entry in logs if entry["event"] == "request.served"]
    assert served[0]["route"] == "/api/v1/auth/login"
    assert served[0]["status"] == 401
    assert served[1]["log_level"] == "debug"
    text = json.dumps(logs, default=str)
    for secret in ("13800138000", "hunter2", "admin@example.com"):
        assert secret not in text


async def test_a_plain_request_that_hangs_is_ended(harness: Any) -> None:
    object.__setattr__(harness.services.http, "request_timeout_s", 0.05)

    async def hang(*_: Any) -> None:
        await asyncio.sleep(60)

    harness.retriever.retrieve = hang
    try:
        response = await harness.http.post("/api/v1/search", json={"query": "x"})
    finally:
        object.__setattr__(harness.services.http, "request_timeout_s", 10.0)
    assert (response.status_code, response.json()["code"]) == (504, 50401)


async def test_the_api_document_is_honest(harness: Any) -> None:
    document = (await harness.client(None).get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert set(schemas["ErrorBody"]["required"]) >= {"code", "message", "trace_id"}
    assert "HTTPValidationError" not in schemas
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            assert "4XX" in operation["responses"]
            assert (operation["security"] == []) == (path in OPEN), path
            assert ("x-permission" in operation) == (path not in OPEN), path
    ask = document["paths"]["/api/v1/conversations/{conversation_id}/messages"]["post"]
    assert set(ask["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    names = {option["properties"]["event"]["const"] for option in schemas["AnswerEvent"]["oneOf"]}
    assert names == {
        "message.created", "status", "delta", "citation", "usage", "message.completed", "message.stopped", "error",
    }  # fmt: skip
    upload = document["paths"]["/api/v1/knowledge/bases/{kb_id}/documents"]["post"]
    assert "multipart/form-data" in upload["requestBody"]["content"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas, reference


async def test_the_api_page_needs_nobody_else(harness: Any) -> None:
    anonymous = harness.client(None)
    page = await anonymous.get("/docs")
    assert page.status_code == 200
    assert "html" in page.headers["content-type"]
    assert "https://" not in page.text
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert (await anonymous.get(asset)).status_code == 200, asset
    script = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in page.headers["content-security-policy"]
    missing = await anonymous.get("/docs/assets/../../app.py")
    assert (missing.status_code, missing.json()["code"]) == (404, 40401)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
async def test_odd_methods_are_client_errors(harness: Any, method: str) -> None:
    response = await harness.http.request(method, "/api/v1/conversations")
    assert response.status_code == 405
