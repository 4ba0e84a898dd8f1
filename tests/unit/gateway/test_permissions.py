"""Every route says what its caller needs, and holds to it."""

from typing import Annotated, Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.dispatch import FlatRoute, flat_routes
from voicehelper.gateway.middleware.authentication import OPEN
from voicehelper.gateway.params import Permission, permission_of, requires
from voicehelper.gateway.problems import handle
from voicehelper.gateway.routes import ROUTERS
from voicehelper.identity import Principal
from voicehelper.identity.permissions import BUILT_IN, PERMISSIONS

CONVERSATION = uuid4()
MEMBER = Principal(uuid4(), uuid4())
VISITOR = Principal(uuid4(), uuid4(), "end_customer", BUILT_IN["end_customer"], "visitor", conversation_id=CONVERSATION)


def routes() -> list[FlatRoute]:
    """Of the whole application, WebSockets too; without the pages that FastAPI and `docs` add."""
    return flat_routes(*ROUTERS)


def test_every_route_declares_a_permission_or_is_open() -> None:
    undeclared = {route.path for route in routes() if not permission_of(route)}
    assert undeclared <= OPEN, "these routes need requires(...) or a place in OPEN"
    assert {permission_of(route) for route in routes()} - {""} <= set(PERMISSIONS)
    assert len(routes()) > 60
    assert "/ws/conversations/{conversation_id}" in {route.path for route in routes()}


def test_an_open_route_declares_none() -> None:
    assert not [route.path for route in routes() if route.path in OPEN and permission_of(route)]


def test_a_misspelt_permission_is_found_at_import() -> None:
    with pytest.raises(ValueError, match="knowlege:read"):
        Permission("knowlege:read", visitors=False)


async def status(principal: Principal | None, path: str) -> tuple[int, int]:
    router = APIRouter()

    @router.get("/bases", dependencies=[requires("knowledge:write")])
    async def bases() -> None: ...

    @router.get("/conversations")
    async def listed(caller: Annotated[Principal, requires("conversations:read")]) -> str:
        return str(caller.user_id)

    @router.get("/conversations/{conversation_id}", dependencies=[requires("conversations:read")])
    async def one(conversation_id: str) -> None: ...

    @router.get("/any", dependencies=[requires("conversations:read", visitors=True)])
    async def anything() -> None: ...

    app = FastAPI()
    app.include_router(router)
    app.add_exception_handler(VoiceHelperError, handle)

    async def known(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"principal": principal}
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(known), base_url="http://test") as client:
        response = await client.get(path)
    return response.status_code, response.json()["code"] if response.status_code >= 400 else 0


async def test_members() -> None:
    assert await status(None, "/conversations") == (401, 40101)
    assert await status(MEMBER, "/conversations") == (200, 0)
    assert await status(MEMBER, f"/conversations/{uuid4()}") == (200, 0)
    assert await status(MEMBER, "/bases") == (403, 40301)


async def test_a_visitor_has_one_conversation_and_nothing_else() -> None:
    assert await status(VISITOR, f"/conversations/{CONVERSATION}") == (200, 0)
    assert await status(VISITOR, f"/conversations/{str(CONVERSATION).upper()}") == (200, 0)
    assert await status(VISITOR, f"/conversations/{uuid4()}") == (404, 40401)
    assert await status(VISITOR, "/conversations/nonsense") == (404, 40401)
    assert await status(VISITOR, "/conversations") == (403, 40301)
    assert await status(VISITOR, "/bases") == (403, 40301)
    assert await status(VISITOR, "/any") == (200, 0)


async def test_a_visitor_without_a_conversation_has_none() -> None:
    lost = Principal(uuid4(), uuid4(), "end_customer", BUILT_IN["end_customer"], "visitor")
    assert await status(lost, f"/conversations/{CONVERSATION}") == (404, 40401)
