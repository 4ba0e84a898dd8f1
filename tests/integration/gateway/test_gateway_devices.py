"""Several devices follow one conversation over WebSockets, through either of two replicas."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import uvicorn
import websockets
from fastapi import FastAPI
from websockets import Subprotocol

from tests.integration.gateway.replicas import Replica, replica
from tests.integration.gateway.test_gateway_resume import answer_of, blocks, field, long_answer, post
from voicehelper.gateway.sockets import ConversationSocket
from voicehelper.ids import new_id
from voicehelper.rag.events import AnswerDelta, AnswerDone


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """`app` on a free port: its WebSocket address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve([listener]))
    yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def pair(harness: Any, redis_url: str) -> AsyncIterator[list[tuple[Replica, str]]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            gateway = await stack.enter_async_context(replica(harness, redis_url))
            made.append((gateway, await stack.enter_async_context(served(gateway.app))))
        yield made


def token(harness: Any) -> str:
    return str(harness.http.headers["authorization"]).removeprefix("Bearer ")


def device(harness: Any, url: str, conversation: UUID, after: str = "", page: bool = False) -> Any:
    """A connection: as a page opens it, or with a header."""
    address = f"{url}/ws/conversations/{conversation}" + (f"?after={after}" if after else "")
    if page:
        return websockets.connect(
            address, subprotocols=[Subprotocol("voicehelper"), Subprotocol(f"bearer.{token(harness)}")], proxy=None
        )
    headers = {"authorization": f"Bearer {token(harness)}"}
    return websockets.connect(address, additional_headers=headers, proxy=None)


async def frames(connection: Any, answers: int = 1) -> list[dict[str, Any]]:
    """Frames up to the end of so many answers."""
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while sum(f["event"] in {"message.completed", "message.stopped", "error"} for f in got) < answers:
            got.append(json.loads(await connection.recv()))
    return got


def same(frame: dict[str, Any], block: bytes) -> bool:
    return (frame["id"], frame["event"], frame["data"]) == (
        field(block, "id"), field(block, "event"), json.loads(field(block, "data")),
    )  # fmt: skip


async def test_devices_on_either_replica_see_the_same(harness: Any, pair: list[tuple[Replica, str]]) -> None:
    (first, one), (second, two) = pair
    first.answerer.events, first.answerer.delay = long_answer(30), 0.02
    second.answerer.events = (AnswerDelta("好"), AnswerDone("answered"))
    conversation = await harness.conversation()
    async with device(harness, one, conversation) as near, device(harness, two, conversation, page=True) as far:
        assert far.subprotocol == "voicehelper"
        asker = post(harness, first, conversation, {"content": "q"})
        seen = await asyncio.gather(frames(near), frames(far))
        await asker.task
        for got in seen:
            assert all(same(frame, block) for frame, block in zip(got, blocks(asker.body), strict=True))
        again = post(harness, second, conversation, {"content": "q2"})
        later = await asyncio.gather(frames(near), frames(far))
        await again.task
        assert later[0] == later[1]
        assert len(later[0]) == len(blocks(again.body))
    # a device that was away gets what it missed, each frame once
    place = f"{seen[0][10]['message_id']}:{seen[0][10]['id']}"
    async with device(harness, two, conversation, place) as back:
        assert await frames(back, 2) == seen[0][11:] + later[0]


async def test_a_new_device_joins_in_the_middle(harness: Any, pair: list[tuple[Replica, str]]) -> None:
    (first, _), (_, two) = pair
    first.answerer.events, first.answerer.delay = long_answer(40), 0.03
    conversation = await harness.conversation()
    asker = post(harness, first, conversation, {"content": "q"})
    await asker.until(lambda body: body.count("event: delta") > 5)
    async with device(harness, two, conversation) as late:
        got = await frames(late)
    await asker.task
    assert all(same(frame, block) for frame, block in zip(got, blocks(asker.body), strict=True))


async def test_devices_do_not_keep_an_answer_going(harness: Any, pair: list[tuple[Replica, str]]) -> None:
    (first, one), _ = pair
    first.answerer.events, first.answerer.delay = long_answer(1000), 0.02
    conversation = await harness.conversation()
    async with device(harness, one, conversation) as watching:
        asker = post(harness, first, conversation, {"content": "q"})
        await asker.until(lambda body: "event: delta" in body)
        asker.leave()
        assert (await frames(watching))[-1]["event"] == "message.stopped"


@pytest.mark.parametrize(
    ("why", "code"), [("nobody", 4401), ("token", 4401), ("stranger", 4404), ("unknown", 4404), ("place", 4400)]
)
async def test_who_may_not_listen(harness: Any, pair: list[tuple[Replica, str]], why: str, code: int) -> None:
    conversation = new_id() if why == "unknown" else await harness.conversation()
    url = f"{pair[0][1]}/ws/conversations/{conversation}" + ("?after=x" if why == "place" else "")
    user = await harness.user("other", "b@example.com") if why == "stranger" else harness.admin
    async with harness.client(user) as client:
        headers = {"authorization": client.headers["authorization"]}
    if why == "nobody":
        headers = {}
    if why == "token":
        headers = {"authorization": "Bearer x"}
    async with websockets.connect(url, additional_headers=headers, proxy=None) as connection:
        with pytest.raises(websockets.ConnectionClosed):
            async with asyncio.timeout(5):
                await connection.recv()
        assert connection.close_code == code


async def test_a_socket_ends_with_its_token(harness: Any, pair: list[tuple[Replica, str]]) -> None:
    from voicehelper.errors import TokenRevoked

    conversation = await harness.conversation()
    authenticator = pair[0][0].app.state.services.authenticator
    async with device(harness, pair[0][1], conversation) as connection:
        await asyncio.sleep(0.7)

        async def revoked(_credential: str) -> Any:
            raise TokenRevoked

        authenticator.authenticate = revoked
        try:
            with pytest.raises(websockets.ConnectionClosed):
                async with asyncio.timeout(1.5):
                    await connection.recv()
        finally:
            del authenticator.authenticate
        assert connection.close_code == 4401


async def test_idle_sockets_are_pinged(
    harness: Any, pair: list[tuple[Replica, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConversationSocket, "ping_s", 0.05)
    async with device(harness, pair[0][1], await harness.conversation()) as connection:
        async with asyncio.timeout(5):
            assert json.loads(await connection.recv())["event"] == "ping"


async def test_a_device_that_does_not_read_is_dropped_and_blocks_nobody(
    harness: Any, pair: list[tuple[Replica, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConversationSocket, "send_s", 0.5)
    (first, one), _ = pair
    first.answerer.events = (*[AnswerDelta("x" * 50_000)] * 160, AnswerDone("answered"))
    conversation = await harness.conversation()
    connection = await device(harness, one, conversation)
    connection.transport.pause_reading()
    asker = post(harness, first, conversation, {"content": "q"})
    await asyncio.wait_for(asker.task, 20)
    assert field(blocks(asker.body)[-1], "event") == "message.completed"
    await asyncio.sleep(1.5)
    connection.transport.resume_reading()
    with pytest.raises(websockets.ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await connection.recv()
    assert connection.close_code in {1013, 1006}  # 1006 where it was too slow even for the close frame


async def test_an_answer_known_by_its_first_event(harness: Any, pair: list[tuple[Replica, str]]) -> None:
    (first, one), _ = pair
    conversation = await harness.conversation()
    async with device(harness, one, conversation) as connection:
        asker = post(harness, first, conversation, {"content": "q"})
        got = await frames(connection)
        await asker.task
        assert got[0]["message_id"] == answer_of(blocks(asker.body)[0])
