"""Routes are found as FastAPI would find them."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import Match

from voicehelper.gateway.dispatch import RouteIndex, flat_routes
from voicehelper.gateway.routes import ROUTERS


def router() -> APIRouter:
    inner = APIRouter(prefix="/things", tags=["things"])

    @inner.get("/new")
    async def new() -> str:
        return "new"

    @inner.get("/{thing_id}")
    async def thing(thing_id: str) -> str:
        return thing_id

    @inner.delete("/{thing_id}", status_code=204)
    async def delete(thing_id: str) -> None: ...

    @inner.get("/{thing_id}/parts/{part_id}")
    async def part(thing_id: str, part_id: int) -> list[int]:
        return [part_id]

    outer = APIRouter(prefix="/api/v1", dependencies=[Depends(lambda: None)])
    outer.include_router(inner)

    @outer.get("/{anything}")
    async def anything(anything: str) -> str:
        return f"any {anything}"

    return outer


def indexed() -> FastAPI:
    app = FastAPI()
    app.router.routes.append(RouteIndex(flat_routes(router())))
    return app


def included() -> FastAPI:
    app = FastAPI()
    app.include_router(router())
    return app


REQUESTS = [
    ("GET", "/api/v1/things/new"),
    ("GET", "/api/v1/things/7"),
    ("DELETE", "/api/v1/things/7"),
    ("POST", "/api/v1/things/7"),
    ("GET", "/api/v1/things/7/parts/3"),
    ("GET", "/api/v1/things/7/parts/x"),
    ("GET", "/api/v1/things/7/nothing"),
    ("GET", "/api/v1/things/7/"),
    ("GET", "/api/v1/other"),
    ("GET", "/api/v1//new"),
    ("GET", "/api/v1"),
    ("GET", "/"),
    ("GET", "/api/v1/things/%2e%2e/parts/1"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_as_fastapi_does(method: str, path: str) -> None:
    answers = []
    for app in (indexed(), included()):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.request(method, path)
            answers.append((answer.status_code, answer.text, answer.headers.get("allow")))
    assert answers[0] == answers[1]


def test_below_a_root_path() -> None:
    index = RouteIndex(flat_routes(router()))
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/vh/api/v1/things/7", "root_path": "/vh"}
    assert index.matches(scope)[0] is Match.FULL


def test_what_routers_gave_their_routes_is_kept() -> None:
    route = next(route for route in flat_routes(router()) if route.path == "/api/v1/things/{thing_id}")
    assert route.tags == ["things"]
    assert len(route.dependencies) == 1


def test_our_own_routes_look_at_a_handful() -> None:
    index = RouteIndex(flat_routes(*ROUTERS))
    assert max(len(routes) for routes in index._by_beginning.values()) <= 20
