"""A replica's own listener: beside Serve's, shared by replicas, and gone before its replica is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from deployments import direct
from deployments.wiring import Nodes
from voicehelper.config import HttpSettings, Settings


class FakeReplicas:
    """Several of them in this process; each may be told to leave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = asyncio.Event()
        monkeypatch.setattr(direct, "when_leaving", self._when_leaving)
        monkeypatch.setattr(direct, "leaving", self.told.is_set)

    async def _when_leaving(self, act: Callable[[], Awaitable[None]]) -> None:
        await self.told.wait()
        await act()
        await asyncio.Event().wait()


@asynccontextmanager
async def replica(port: int, name: str, slow: asyncio.Event | None = None) -> AsyncIterator[Nodes]:
    """One that answers with its name."""
    app = FastAPI()

    @app.get("/")
    async def who() -> str:
        if slow is not None:
            await slow.wait()
        return name

    nodes = Nodes(Settings(http=HttpSettings(direct_port=port)), {})
    direct.also_listen(app, nodes)
    async with app.router.lifespan_context(app):
        yield nodes
    await nodes.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:  # a connection of its own
        return str((await client.get(f"http://127.0.0.1:{port}/")).json())


async def until_served(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await ask(port)
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_replicas_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeReplicas(monkeypatch)
    port = free_port()
    async with AsyncExitStack() as running:
        for name in ("a", "b"):
            await running.enter_async_context(replica(port, name))
        await until_served(port)
        await asyncio.sleep(0.3)
        assert {await ask(port) for _ in range(60)} == {"a", "b"}


async def test_who_leaves_takes_nothing_on_and_finishes_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, port, slow = FakeReplicas(monkeypatch), free_port(), asyncio.Event()
    async with replica(port, "a", slow) as nodes:
        slow.set()
        await until_served(port)
        slow.clear()
        asking = asyncio.create_task(ask(port))
        await asyncio.sleep(0.3)
        replicas.told.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    break
                writer.close()
                await asyncio.sleep(0.02)
        slow.set()
        assert await asking == "a"
        nodes.check()  # its end is no failure


async def test_without_a_port_there_is_none() -> None:
    app = FastAPI()
    before = app.router.lifespan_context
    direct.also_listen(app, Nodes(Settings(), {}))
    assert app.router.lifespan_context is before
