"""Limits, CORS and origins of the whole application, counted by a real Valkey or, while it is away, without."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from fastapi import FastAPI

from voicehelper.config import LimitSettings
from voicehelper.gateway import create_app
from voicehelper.gateway.quotas import Quotas, Rates
from voicehelper.limits import AddressNames, FallbackLimiter, LocalLimiter
from voicehelper.stores.rate_limits import RedisLimiter

SHOP = "https://shop.example"
NOBODY_THERE = "redis://127.0.0.1:1/0"
LOGIN = "/api/v1/auth/login"
WRONG = {"email": "admin@example.com", "password": "wrong"}

Limited = Callable[..., FastAPI]


@pytest.fixture
async def limited(harness: Any) -> AsyncIterator[Limited]:
    """Makes replicas of the harness's application with these limits."""
    opened: list[Any] = []

    def make(url: str, **quotas: int) -> FastAPI:
        settings = LimitSettings(**quotas)
        shared = RedisLimiter(url, settings.window_s)
        limiter = FallbackLimiter(shared, LocalLimiter(settings.window_s))
        opened.extend([limiter, shared])
        rates = Rates(limiter, Quotas(settings, AddressNames(b"key")), settings.window_s)
        http = harness.services.http.model_copy(update={"trusted_proxies": 1, "cors_origins": (SHOP,)})
        return create_app(replace(harness.services, http=http, rates=rates))

    yield make
    for made in opened:
        await made.close()


def client(app: FastAPI, harness: Any = None, address: str = "203.0.113.7") -> httpx.AsyncClient:
    headers = {"x-forwarded-for": address, "accept-language": "zh"}
    if harness is not None:
        headers["authorization"] = harness.http.headers["authorization"]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)


async def guesses(caller: httpx.AsyncClient, times: int) -> list[int]:
    return [(await caller.post(LOGIN, json=WRONG)).json()["code"] for _ in range(times)]


@pytest.mark.parametrize("away", [False, True], ids=["redis", "without"])
async def test_guessing_passwords_from_one_address(limited: Limited, redis_url: str, away: bool) -> None:
    app = limited(NOBODY_THERE if away else redis_url, login_per_address=3)
    assert await guesses(client(app), 6) == [40102] * 3 + [42901] * 3
    assert (await guesses(client(app, address="198.51.100.1"), 1)) == [40102]
    last = await client(app).post(LOGIN, json=WRONG)
    assert last.json()["message"] == "请求过于频繁，请稍后再试"
    assert 55 <= int(last.headers["retry-after"]) <= 63
    assert last.headers["ratelimit-policy"] == '"login";q=3;w=60'
    assert last.headers["ratelimit"].startswith('"login";r=0;t=')


async def test_an_address_has_all_of_its_ipv6_network(limited: Limited, redis_url: str) -> None:
    app = limited(redis_url, login_per_address=3)
    found = [(await guesses(client(app, address=f"2001:db8::{i:x}:1"), 1))[0] for i in range(6)]
    assert found == [40102] * 3 + [42901] * 3


async def test_replicas_count_together_and_redis_sees_no_address(
    limited: Limited, harness: Any, redis_url: str
) -> None:
    replicas = [limited(redis_url, per_user=10) for _ in range(3)]
    asked = await asyncio.gather(*(client(replicas[i % 3], harness).get("/api/v1/me") for i in range(30)))
    assert sorted(response.status_code for response in asked) == [200] * 10 + [429] * 20
    with redis.Redis.from_url(redis_url) as server:
        assert not [key for key in server.keys("*") if b"203.0" in key]
        assert len(server.keys("vh:{limits}:*")) == 3


async def test_every_counted_response_tells_what_is_left(limited: Limited, harness: Any, redis_url: str) -> None:
    caller = client(limited(redis_url), harness)
    missing = f"/api/v1/conversations/{uuid4()}"
    answers = [
        await caller.get("/api/v1/me"),
        await caller.get(missing),
        await caller.get("/api/v1/conversations?limit=nonsense"),
        await caller.post("/api/v1/knowledge/bases", content=b"{", headers={"content-type": "application/json"}),
        await caller.post("/api/v1/knowledge/bases", content=b"x" * 60_000),
        await caller.get("/api/v1/nothing"),
        await client(limited(redis_url)).get("/api/v1/me"),
        await client(limited(redis_url)).get("/docs"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 400, 400, 413, 404, 401, 200]
    for answer in answers:
        assert "ratelimit" in answer.headers, answer.request.url
        assert "ratelimit-policy" in answer.headers
    for path in ("/health", "/ready", "/metrics"):
        assert "ratelimit" not in (await caller.get(path)).headers


async def test_questions_have_a_limit_of_their_own(limited: Limited, harness: Any, redis_url: str) -> None:
    conversation = await harness.conversation()
    caller = client(limited(redis_url, answers_per_user=2), harness)
    path = f"/api/v1/conversations/{conversation}/messages"
    asked = [await caller.post(path, json={"content": "退款多久到账？"}) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [200, 200, 429]
    assert asked[2].json()["details"]["limit"] == "answers"
    assert (await caller.get(path)).status_code == 200


async def test_guessing_tokens_ends_at_the_address(limited: Limited, redis_url: str) -> None:
    app = limited(redis_url, per_address=3)
    headers = {"authorization": "Bearer x.y.z"}
    statuses = [(await client(app).get("/api/v1/me", headers=headers)).status_code for _ in range(6)]
    assert statuses == [401] * 3 + [429] * 3


async def test_pages_of_the_named_site_can_read_everything(limited: Limited, harness: Any, redis_url: str) -> None:
    app = limited(redis_url, login_per_address=1)
    for answer in (
        await client(app).get("/api/v1/me", headers={"origin": SHOP}),
        await client(app, harness).get("/api/v1/me", headers={"origin": SHOP}),
        await client(app).post(LOGIN, json=WRONG, headers={"origin": SHOP}),
        await client(app).post(LOGIN, json=WRONG, headers={"origin": SHOP}),
    ):
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "RateLimit" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower()
    evil = await client(app).get("/api/v1/me", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers


async def test_preflight_of_every_route(limited: Limited, redis_url: str) -> None:
    app = limited(redis_url)
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            asked = {"access-control-request-method": method.upper(), "origin": SHOP}
            asked["access-control-request-headers"] = "authorization, content-type, idempotency-key, last-event-id"
            answer = await client(app).options(path, headers=asked)
            assert answer.status_code == 200, (path, method, answer.text)


class FakeSocketClient:
    """Opens a socket, never sends, and keeps what comes until it is closed."""

    def __init__(self, path: str, **headers: str) -> None:
        self.scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "ws",
            "client": ("192.0.2.1", 1),
            "server": ("test", 80),
            "subprotocols": [],
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self.sent: list[Any] = []
        self._connected = False

    async def _receive(self) -> Any:
        if self._connected:
            await asyncio.Event().wait()
        self._connected = True
        return {"type": "websocket.connect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def code(self, app: FastAPI) -> int:
        """What it was closed with."""
        async with asyncio.timeout(5):
            await app(self.scope, self._receive, self._send)
        return int(self.sent[-1]["code"])


async def test_sockets_are_limited_too(limited: Limited, harness: Any, redis_url: str) -> None:
    app = limited(redis_url, per_user=2)
    authorization = harness.http.headers["authorization"]

    async def code(conversation: UUID | str, **headers: str) -> int:
        return await FakeSocketClient(f"/ws/conversations/{conversation}", host="test", **headers).code(app)

    assert await code(uuid4()) == 4401
    assert await code(uuid4(), authorization="Bearer x.y.z") == 4401
    assert await code(uuid4(), authorization=authorization, origin="https://evil.example") == 4403
    assert await code(uuid4(), authorization=authorization, origin=SHOP) == 4404
    assert await code("nonsense", authorization=authorization, origin="http://test") == 4400
    assert await code(uuid4(), authorization=authorization) == 4429
