"""The idempotency layer over a bare ASGI application and keys in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.errors import DeadlineExceeded
from voicehelper.gateway.middleware import Boundary
from voicehelper.gateway.middleware.idempotency import Idempotency
from voicehelper.idempotency import FakeIdempotencyStore
from voicehelper.identity import Principal
from voicehelper.ids import new_id

ANYBODY = Principal(new_id(), new_id())
SETTINGS = HttpSettings(request_timeout_s=0.2)
UPLOADS = "/api/v1/knowledge/bases/1/documents"


@dataclass
class Handler:
    """Counts what gets through to it, and answers as told."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    bodies: list[bytes] = field(default_factory=list)

    async def handle(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        if self.gate is not None:
            await self.gate.wait()
        return JSONResponse({"n": len(self.bodies)}, self.status, self.headers)


@dataclass
class Rig:
    handler: Handler
    store: FakeIdempotencyStore
    principal: Principal | None
    layer: ASGIApp
    http: httpx.AsyncClient

    async def post(self, key: str | None = "k", path: str = "/api/v1/things", **more: Any) -> httpx.Response:
        method, more = more.pop("method", "POST"), {"content": b"{}"} | more
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.request(method, path, headers=headers, **more)


@pytest.fixture
async def rig() -> Any:
    handler, store = Handler(), FakeIdempotencyStore()
    app = Starlette(routes=[Route("/{rest:path}", handler.handle, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])
    made = Rig(handler, store, ANYBODY, Idempotency(app, store, SETTINGS, lease_s=0.03), None)

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        if made.principal is not None:
            scope.setdefault("state", {})["principal"] = made.principal
        await made.layer(scope, receive, send)

    transport = httpx.ASGITransport(Boundary(authenticated))
    made.http = httpx.AsyncClient(transport=transport, base_url="http://test")
    yield made
    await made.http.aclose()


@pytest.mark.parametrize("path", ["/api/v1/things", UPLOADS])
async def test_a_write_sent_twice_happens_once(rig: Rig, path: str) -> None:
    rig.handler.headers = {"Location": "/there"}
    first, again = await rig.post(path=path), await rig.post(path=path)
    assert rig.handler.bodies == [b"{}"]
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == "/there"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    "change",
    [{"content": b"[]"}, {"path": "/api/v1/others"}, {"path": "/api/v1/things?a=1"}, {"method": "PUT"}],
)
async def test_the_same_key_for_another_request_is_refused(rig: Rig, change: dict[str, Any]) -> None:
    await rig.post()
    refused = await rig.post(**change)
    assert (refused.status_code, refused.json()["code"]) == (422, 42202)
    assert len(rig.handler.bodies) == 1


async def test_an_upload_is_told_apart_by_place_and_length(rig: Rig) -> None:
    await rig.post(path=UPLOADS, content=b"--a\r\n1")
    assert (await rig.post(path=UPLOADS, content=b"--b\r\n1")).headers["idempotent-replayed"]
    assert (await rig.post(path=UPLOADS, content=b"much longer")).status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/things", UPLOADS])
async def test_two_at_once(rig: Rig, path: str) -> None:
    rig.handler.gate = asyncio.Event()
    first = asyncio.create_task(rig.post(path=path))
    while not rig.handler.bodies:  # noqa: ASYNC110 - the handler is at most some turns away
        await asyncio.sleep(0)
    second = await rig.post(path=path)
    assert (second.status_code, second.json()["code"]) == (409, 40904)
    assert int(second.headers["retry-after"]) >= 1
    rig.handler.gate.set()
    assert (await first).status_code == 201


@pytest.mark.parametrize("path", ["/api/v1/things", UPLOADS])
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_may_go_differently_next_time_is_not_repeated(rig: Rig, status: int, path: str) -> None:
    rig.handler.status = status
    assert (await rig.post(path=path)).status_code == status
    rig.handler.status = 201
    assert (await rig.post(path=path)).json() == {"n": 2}


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_a_refusal_is_repeated(rig: Rig, status: int) -> None:
    rig.handler.status = status
    await rig.post()
    rig.handler.status = 201
    assert (await rig.post()).status_code == status


async def test_a_refusal_that_says_when_to_come_back_is_not(rig: Rig) -> None:
    rig.handler.status, rig.handler.headers = 409, {"Retry-After": "1"}
    await rig.post()
    assert (await rig.post()).json() == {"n": 2}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v1/auth/refresh", "POST"),
        ("/api/v1/search", "POST"),
        ("/api/v1/things", "GET"),
        ("/elsewhere", "POST"),
        ("/api/v1/conversations/1/messages", "POST"),
        ("/api/v1/conversations/1/messages/2/regenerate", "POST"),
    ],
)
async def test_where_a_key_means_nothing_to_the_layer(rig: Rig, path: str, method: str) -> None:
    for n in (1, 2):
        assert (await rig.post(path=path, method=method)).json() == {"n": n}


async def test_without_key_or_principal_nothing_is_remembered(rig: Rig) -> None:
    await rig.post(None)
    rig.principal = None
    await rig.post()
    assert len(rig.handler.bodies) == 2
    assert rig.store.rows == {}


async def test_an_api_key_and_its_user_are_two_actors(rig: Rig) -> None:
    await rig.post()
    rig.principal = Principal(ANYBODY.user_id, ANYBODY.tenant_id, kind="key", key_id=new_id())
    assert (await rig.post()).json() == {"n": 2}


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "tab\there"])
async def test_a_key_must_be_printable_ascii(rig: Rig, key: str) -> None:
    reply = await rig.http.post("/api/v1/things", headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)


async def test_two_keys_are_one_too_many(rig: Rig) -> None:
    reply = await rig.http.post("/api/v1/things", headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert reply.status_code == 400


async def test_the_lease_of_a_long_upload_is_renewed(rig: Rig) -> None:
    rig.handler.gate = asyncio.Event()
    first = asyncio.create_task(rig.post(path=UPLOADS))
    async with asyncio.timeout(2):
        while rig.store.extended < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    rig.handler.gate.set()
    await first


def _scope(path: str = "/api/v1/things") -> Scope:
    headers = [(b"idempotency-key", b"k")]
    state = {"principal": ANYBODY}
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "state": state}


async def _call(rig: Rig, receive: Callable[[], Awaitable[Message]]) -> None:
    async def send(_message: Message) -> None:
        pass

    await rig.layer(_scope(), receive, send)


async def test_a_client_that_leaves_before_its_body_is_whole(rig: Rig) -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Message:
        return messages.pop()

    with pytest.raises(ClientDisconnect):
        await _call(rig, receive)
    assert rig.store.rows == {}


async def test_a_body_that_never_comes(rig: Rig) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(DeadlineExceeded):
        await _call(rig, receive)
