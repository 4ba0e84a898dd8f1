"""A session full of personal data and secrets, in the real application: none of it in logs, traces, audit, metrics."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.fakes.spans import SPANS
from tests.prove.tenancy_asgi import ADMIN, PASSWORD, Direct, Upload, application, settings_for
from voicehelper.stores.postgres.pool import Pool
from voicehelper.telemetry import configure_logging

PHONE, EMAIL, CARD = "13812345678", "wang.xiaoming@example.com", "6222021234567890128"
IDENTITY, GUESS = "11010519491231002X", "Wrong1-Guess2-Here3"
LEAKED_KEY = "vhk_0192f0c0a1b27c3d8e4f5a6b7c8d9e0f_3q2-7wEw_kX0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0k"
EVERYTHING = f"我叫王小明，电话{PHONE}，邮箱 {EMAIL}，身份证{IDENTITY}，卡号{CARD}，密钥 {LEAKED_KEY}，怎么退款？"
API = "/api/v1"


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """All that is logged, from DEBUG on."""
    root = logging.getLogger()
    before, out = (root.handlers, root.level), io.StringIO()
    configure_logging("DEBUG", out)
    root.setLevel(logging.DEBUG)
    yield out
    root.handlers, root.level = before
    structlog.reset_defaults()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """All that is traced."""
    return SPANS


async def session(direct: Direct) -> list[str]:
    """What a careless person does; returns the credentials he was given."""
    given: list[str] = []

    async def call(method: str, path: str, body: object = None, token: str = "", **headers: str) -> dict:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = await direct.call(method, API + path, token, body=body, headers=names)
        assert reply.status < 500, reply.body
        return reply.json() if reply.body and reply.status < 400 else {}

    await call("POST", "/auth/login", {"email": EMAIL, "password": GUESS})
    await call("POST", "/auth/login", {"email": ADMIN, "password": GUESS})
    tokens = await call("POST", "/auth/login", {"email": ADMIN, "password": PASSWORD}, user_agent=f"app {EMAIL}")
    admin = tokens["access_token"]
    refreshed = await call("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    await call("POST", "/auth/refresh", {"refresh_token": LEAKED_KEY.replace("vhk", "vhr")})
    given += [admin, tokens["refresh_token"], refreshed["access_token"], refreshed["refresh_token"]]
    admin = refreshed["access_token"]

    await call("POST", "/users", {"email": EMAIL, "name": PHONE, "role": "member", "password": PASSWORD}, admin)
    await call("POST", "/users", {"email": EMAIL, "name": PHONE, "role": "member", "password": PASSWORD}, admin)
    key = await call("POST", "/api-keys", {"name": f"of {PHONE}", "permissions": ["knowledge:read"]}, admin)
    given += [value for value in key.values() if str(value).startswith("vhk_")]
    await call(
        "POST", "/roles", {"name": "helper", "description": EVERYTHING, "permissions": ["knowledge:read"]}, admin
    )

    base = await call("POST", "/knowledge/bases", {"name": f"给 {PHONE}", "description": EVERYTHING}, admin)
    upload = Upload(f"{EMAIL}.md", f"# {CARD}\n\n{EVERYTHING}\n".encode())
    await call("POST", f"/knowledge/bases/{base['id']}/documents", upload, admin)
    conversation = (await call("POST", "/conversations", {"title": f"{PHONE} {IDENTITY}"}, admin))["id"]
    place = f"/conversations/{conversation}/messages"
    turn = await call("POST", place, {"content": EVERYTHING}, admin, idempotency_key=PHONE, x_request_id=PHONE)
    comment = {"rating": "down", "comment": EVERYTHING}
    await call("PUT", f"{place}/{turn['answer']['id']}/feedback", comment, admin)
    await call("GET", f"/conversations?q={PHONE}", token=admin)
    await call("GET", f"/conversations/{EMAIL}", token=admin)
    await call("POST", f"/{PHONE}/{CARD}", {"note": EVERYTHING}, admin)
    await call("GET", "/me", token=LEAKED_KEY)
    await call("GET", "/me", token=f"{admin[:-6]}AAAAAA")
    await call("POST", "/auth/logout", None, admin)
    return given


async def test_none_of_it_is_written_down(
    pool: Pool, postgres_dsn: str, redis_url: str, tmp_path: Path, logs: io.StringIO, spans: InMemorySpanExporter
) -> None:
    async with application(settings_for(tmp_path, postgres_dsn, redis_url)) as app:
        direct = Direct(app)
        credentials = await session(direct)
        metrics = (await direct.call("GET", "/metrics")).body.decode()
    assert len(credentials) >= 5
    audit = await pool.fetchval("SELECT string_agg(a::text, E'\\n') FROM audit_logs a")
    events = await pool.fetchval("SELECT string_agg(o::text, E'\\n') FROM outbox o")
    traces = "\n".join(span.to_json() for span in spans.get_finished_spans())
    written = {"logs": logs.getvalue(), "traces": traces, "audit": audit, "metrics": metrics, "events": events}
    assert all(written.values())
    signatures = [token.rpartition(".")[2] for token in credentials]
    forbidden = [PHONE, EMAIL, CARD, IDENTITY, LEAKED_KEY, LEAKED_KEY[-40:], PASSWORD, GUESS, "王小明", *signatures]
    found = {(place, secret) for place, text in written.items() for secret in forbidden if secret in text}
    assert not found, {place: _around(written[place], secret) for place, secret in found}
    assert "127.0.0.1" not in audit
    assert "127.0.0.0/24" in audit


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 300) : at + 100]
