"""Work that ends with its connection; classes of routes."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from voicehelper.config import HttpSettings
from voicehelper.gateway.classes import RouteClass, body_limit_of, class_of, deadline_of
from voicehelper.gateway.stream import while_connected


async def test_work_ends_with_the_connection() -> None:
    left = asyncio.Event()

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def forever() -> None:
        await asyncio.sleep(60)

    async def quick() -> int:
        return 7

    async def breaks() -> None:
        raise KeyError("x")

    assert await while_connected(receive, quick()) == 7
    with pytest.raises(KeyError):
        await while_connected(receive, breaks())
    task = asyncio.create_task(while_connected(receive, forever()))
    await asyncio.sleep(0)
    left.set()
    with pytest.raises(ClientDisconnect):
        await asyncio.wait_for(task, 1)


def of(method: str, path: str, kind: str = "http") -> RouteClass:
    return class_of({"type": kind, "method": method, "path": path})


def test_classes_of_routes() -> None:
    http = HttpSettings(request_timeout_s=1, answer_timeout_s=2, max_body_bytes=3, max_upload_bytes=4)
    answer = of("POST", "/api/v1/conversations/1/messages")
    upload = of("POST", "/api/v1/knowledge/bases/1/documents")
    assert (answer, upload) == (RouteClass.ANSWER, RouteClass.UPLOAD)
    assert of("POST", "/api/v1/conversations/1/messages/2/regenerate") is RouteClass.ANSWER
    assert of("GET", "/api/v1/conversations/1/export") is of("GET", "/api/v1/users/1/export") is RouteClass.DOWNLOAD
    assert of("POST", "/api/v1/users/1/export") is RouteClass.PLAIN
    assert of("GET", "/api/v1/conversations/1/messages/2/events") is RouteClass.FOLLOW
    assert of("GET", "/api/v1/conversations/1/messages") is RouteClass.PLAIN
    assert of("POST", "/api/v1/conversations/1/messages/2") is RouteClass.PLAIN
    assert of("POST", "/api/v1/auth/login") is RouteClass.LOGIN
    assert of("GET", "/api/v1/auth/login") is RouteClass.PLAIN
    assert of("GET", "/ws/conversations/1", "websocket") is RouteClass.SOCKET
    assert of("BREW", "/") is RouteClass.UNKNOWN
    kinds = (RouteClass.PLAIN, answer, upload, RouteClass.FOLLOW, RouteClass.SOCKET)
    assert [deadline_of(kind, http) for kind in kinds] == [1, 2, None, 2, None]
    assert body_limit_of(answer, http) == 3
    assert body_limit_of(upload, http) == 4 + 64 * 1024
