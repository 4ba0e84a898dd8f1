"""The layers around a trivial application, one request or socket at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from starlette.middleware.cors import CORSMiddleware
from structlog.testing import capture_logs

from voicehelper.config import HttpSettings, LimitSettings
from voicehelper.context import current_context
from voicehelper.errors import Forbidden, TokenExpired, Unauthenticated, Unavailable
from voicehelper.gateway.deprecations import Deprecation
from voicehelper.gateway.middleware import AddressLimit, Boundary, Edge, PrincipalLimits, SocketOrigins, cors_options
from voicehelper.gateway.quotas import Quotas, Rates
from voicehelper.identity import Principal
from voicehelper.limits import AddressNames, FallbackLimiter, Limit, LocalLimiter, Verdict

OK: list[dict[str, Any]] = [
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"ok"},
]


class FakeApp:
    """Answers 200, or accepts the socket and closes it; or fails."""

    def __init__(self, failure: Exception | None = None, principal: Principal | None = None) -> None:
        self.failure = failure
        self.principal = principal
        self.served = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.served += 1
        self.context = current_context()
        scope["endpoint"] = "endpoint"
        if self.failure is not None:
            raise self.failure
        if scope["type"] == "http":
            for message in OK:
                await send({**message, "headers": []} if "status" in message else message)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close", "code": 1000})


class FakeAuthentication:
    """Knows who it was told, or refuses."""

    def __init__(self, app: Any, principal: Principal | None) -> None:
        self.app = app
        self.principal = principal

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.principal is None:
            raise Unauthenticated
        scope["state"]["principal"] = self.principal
        await self.app(scope, receive, send)


class FakeCounters:
    """Counts in process; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Limit]] = []
        self.counters = LocalLimiter(60.0)

    async def acquire(self, limits: Sequence[Limit]) -> Verdict:
        self.asked.append(limits)
        return self.counters.decide(limits)


@dataclass
class Sent:
    """What came back."""

    messages: list[Any] = field(default_factory=list)

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}


async def call(app: Any, path: str = "/api/v1/x", method: str = "GET", socket: bool = False, **headers: str) -> Sent:
    scope: dict[str, Any] = {
        "type": "websocket" if socket else "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "client": ("192.0.2.1", 4711),
        "subprotocols": [],
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    if socket:
        del scope["method"]
    if "subprotocols" in headers:
        scope["subprotocols"] = headers["subprotocols"].split(",")

    async def receive() -> Any:
        return {"type": "websocket.connect" if socket else "http.request", "body": b""}

    sent = Sent()
    await app(scope, receive, sent)
    return sent


def edge(app: Any, deprecations: Sequence[Deprecation] = (), **http: Any) -> Edge:
    return Edge(app, HttpSettings(**http), {"endpoint": "/api/v1/x"}, deprecations)


async def test_the_context_says_who_where_and_until_when() -> None:
    app = FakeApp()
    sent = await call(
        edge(app, trusted_proxies=1), x_forwarded_for="203.0.113.9", x_request_id="abc-1", accept_language="en"
    )
    assert (app.context.address, app.context.request_id, app.context.locale) == ("203.0.113.9", "abc-1", "en")
    assert app.context.remaining() == pytest.approx(30, abs=1)
    assert sent.headers["x-request-id"] == "abc-1"
    assert sent.headers["traceparent"].split("-")[1] == app.context.trace_id
    assert sent.headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in sent.headers


async def test_https_is_made_to_stay() -> None:
    sent = await call(edge(FakeApp(), trusted_proxies=1), x_forwarded_proto="https")
    assert "max-age" in sent.headers["strict-transport-security"]


async def test_what_the_route_says_itself_is_kept() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        own = [(b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": own})

    sent = await call(edge(app))
    names = [name for name, _ in sent.messages[0]["headers"]]
    assert len(names) == len(set(names))
    assert sent.headers["cache-control"] == "max-age=60"
    assert sent.headers["content-security-policy"] == "default-src 'self'"


async def test_deprecated_routes_say_since_and_until_when() -> None:
    old = Deprecation(
        "GET", "/api/v1/x", datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), "/api/v1/y"
    )
    sent = await call(edge(FakeApp(), [old]))
    assert sent.headers["deprecation"] == "@1782863999"  # RFC 9745: a structured-field date
    assert sent.headers["sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"  # RFC 8594: an HTTP date
    assert sent.headers["link"] == '</api/v1/y>; rel="successor-version"'
    assert "deprecation" not in (await call(edge(FakeApp(), [old]), method="POST")).headers


async def test_a_socket_has_context_headers_and_a_log_line() -> None:
    app = FakeApp()
    with capture_logs() as logs:
        sent = await call(edge(app), path="/ws/x", socket=True, x_request_id="abc-1")
    assert [message["type"] for message in sent.messages] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent.headers["x-request-id"] == "abc-1"
    assert app.context.deadline is None
    assert (logs[0]["event"], logs[0]["status"], logs[0]["bytes"]) == ("socket.closed", 1000, 5)


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (TokenExpired(), 4401, "40103 登录已过期，请重新登录"),
        (Forbidden(), 4403, "40301 没有权限"),
        (Unavailable(), 4503, "50301 服务暂时不可用，请稍后再试"),
        (KeyError("secret"), 4500, "50000 服务器内部错误"),
    ],
)
async def test_a_refused_socket_is_told_why(failure: Exception, code: int, reason: str) -> None:
    sent = await call(Boundary(FakeApp(failure)), socket=True, subprotocols="bearer.abc,voicehelper")
    assert sent.messages[0] == {"type": "websocket.accept", "subprotocol": "voicehelper"}
    assert sent.messages[1] == {"type": "websocket.close", "code": code, "reason": reason}


async def test_a_socket_that_fails_later_is_closed_once() -> None:
    async def accepting(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise Forbidden

    async def closing(_scope: Any, receive: Any, send: Any) -> None:
        await accepting_and_closing(receive, send)
        raise Forbidden

    async def accepting_and_closing(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    sent = await call(Boundary(accepting), socket=True)
    assert [message["type"] for message in sent.messages] == ["websocket.accept", "websocket.close"]
    sent = await call(Boundary(closing), socket=True)
    assert sent.messages[-1]["code"] == 1000
    assert len(sent.messages) == 2


def limited(
    app: Any, principal: Principal | None = None, counters: FakeCounters | None = None, **quotas: int
) -> tuple[Any, FakeCounters]:
    counters = counters or FakeCounters()
    limiter = FallbackLimiter(counters, LocalLimiter(60.0))
    rates = Rates(limiter, Quotas(LimitSettings(**quotas), AddressNames(b"key")), 60)
    inner: Any = PrincipalLimits(app, rates)
    known = FakeAuthentication(inner, principal)

    async def authenticated(scope: Any, receive: Any, send: Any) -> None:
        await (known if scope["path"].startswith(("/api/v1/x", "/ws/")) else inner)(scope, receive, send)

    return edge(Boundary(AddressLimit(authenticated, rates))), counters


MEMBER = Principal(uuid4(), uuid4())


async def test_one_round_trip_counts_everything_of_a_request() -> None:
    app, counters = limited(FakeApp(), MEMBER)
    sent = await call(app)
    assert sent.status == 200
    assert [[limit.name for limit in asked] for asked in counters.asked] == [["address", "user", "tenant"]]
    assert sent.headers["ratelimit-policy"] == '"address";q=1200;w=60, "user";q=600;w=60, "tenant";q=6000;w=60'
    assert sent.headers["ratelimit"].startswith('"user";r=599;t=')
    assert "192.0.2" not in str(counters.asked)


@pytest.mark.parametrize(
    ("path", "method", "principal", "names"),
    [
        ("/api/v1/x", "GET", Principal(uuid4(), uuid4(), kind="key", key_id=uuid4()), "address key tenant"),
        ("/ws/x", "", MEMBER, "address user tenant"),
        ("/docs", "GET", None, "address"),
        ("/nothing", "POST", None, "address"),
        ("/api/v1/auth/login", "POST", None, "login"),
        ("/health", "GET", None, ""),
    ],
)
async def test_what_counts_for_what(path: str, method: str, principal: Principal | None, names: str) -> None:
    app, counters = limited(FakeApp(), principal)
    await call(app, path, method, socket=not method)
    assert " ".join(limit.name for asked in counters.asked for limit in asked) == names


@pytest.mark.parametrize(
    ("path", "key", "names"),
    [
        ("/api/v1/conversations/1/messages", None, {"answers", "tenant-answers"}),
        ("/api/v1/conversations/1/messages/2/regenerate", None, {"answers", "tenant-answers"}),
        ("/api/v1/conversations/1/messages", uuid4(), {"tenant-answers"}),
        ("/api/v1/knowledge/bases/1/documents", None, {"tenant-uploads"}),
    ],
)
async def test_answers_and_uploads_have_limits_of_their_own(path: str, key: Any, names: set[str]) -> None:
    counters = FakeCounters()
    rates = Rates(FallbackLimiter(counters, LocalLimiter(60.0)), Quotas(LimitSettings(), AddressNames(b"key")), 60)
    principal = Principal(MEMBER.user_id, MEMBER.tenant_id, kind="key" if key else "user", key_id=key)
    limits = PrincipalLimits(FakeApp(), rates)
    app = edge(FakeAuthentication(limits, principal))
    await call(app, path, "POST")
    assert {limit.name for limit in counters.asked[0]} - {"address", "user", "key", "tenant"} == names


async def test_over_the_limit() -> None:
    inner = FakeApp()
    app, counters = limited(inner, MEMBER, per_user=3)
    statuses = [(await call(app)).status for _ in range(10)]
    assert (statuses, inner.served) == ([200] * 3 + [429] * 7, 3)
    assert len(counters.asked) == 4, "further refusals cost no round trip"
    sent = await call(app)
    assert 58 <= int(sent.headers["retry-after"]) <= 63
    assert sent.headers["ratelimit"].startswith('"user";r=0;t=')
    assert b'"limit":"user"' in sent.messages[1]["body"]


async def test_guessing_tokens_is_counted_by_address() -> None:
    inner = FakeApp()
    app, counters = limited(inner, None, per_address=3)
    statuses = [(await call(app)).status for _ in range(6)]
    assert statuses == [401] * 3 + [429] * 3
    assert [[limit.name for limit in asked] for asked in counters.asked] == [["address"]] * 4
    assert inner.served == 0


async def test_a_refusal_from_within_is_not_counted_as_a_guess() -> None:
    app, counters = limited(FakeApp(Unauthenticated()), MEMBER)
    assert (await call(app)).status == 401
    assert len(counters.asked) == 1


async def test_limits_turned_off_one_by_one() -> None:
    app, counters = limited(FakeApp(), MEMBER, per_address=0, per_user=0, per_tenant=0)
    sent = await call(app)
    assert (sent.status, counters.asked) == (200, [])
    assert "ratelimit" not in sent.headers


async def test_a_limited_socket_is_closed_with_its_code() -> None:
    app, _ = limited(FakeApp(), MEMBER, per_user=1)
    await call(app, "/ws/x", socket=True)
    sent = await call(app, "/ws/x", socket=True)
    assert [message.get("code") for message in sent.messages] == [None, 4429]


def with_cors(app: Any, origins: tuple[str, ...]) -> Any:
    return edge(CORSMiddleware(Boundary(SocketOrigins(app, origins)), **cors_options(origins)))


async def test_errors_carry_cors_headers_too() -> None:
    app = with_cors(FakeApp(Unauthenticated()), ("https://shop.example",))
    sent = await call(app, origin="https://shop.example")
    assert sent.status == 401
    assert sent.headers["access-control-allow-origin"] == "https://shop.example"
    exposed = sent.headers["access-control-expose-headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After", "traceparent"} <= set(exposed)
    assert "access-control-allow-origin" not in (await call(app, origin="https://evil.example")).headers


async def test_preflight_asks_nobody() -> None:
    inner = FakeApp()
    sent = await call(
        with_cors(inner, ("https://shop.example",)),
        method="OPTIONS",
        origin="https://shop.example",
        access_control_request_method="POST",
        access_control_request_headers="authorization,idempotency-key,last-event-id,content-type",
    )
    assert (sent.status, inner.served) == (200, 0)


@pytest.mark.parametrize(
    ("origin", "host", "origins", "code"),
    [
        ("", "api.example", (), 1000),
        ("https://api.example", "api.example", (), 1000),
        ("https://shop.example", "api.example", ("https://shop.example",), 1000),
        ("https://shop.example", "api.example", ("*",), 1000),
        ("https://evil.example", "api.example", ("https://shop.example",), 4403),
        ("null", "api.example", (), 4403),
    ],
)
async def test_sockets_of_other_sites(origin: str, host: str, origins: tuple[str, ...], code: int) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    sent = await call(with_cors(FakeApp(), origins), "/ws/x", socket=True, **headers)
    assert sent.messages[-1]["code"] == code
