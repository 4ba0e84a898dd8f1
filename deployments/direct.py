"""A gateway replica's own HTTP listener: a way past Serve's proxy, which costs several milliseconds a request.

All replicas of a machine share the port (`SO_REUSEPORT`: the kernel spreads connections among them), beside Serve's own
way in. What it cannot do: requests that come here count for the replica's own limits, but not for Serve's autoscaling,
and find no replica while none is up, where Serve's proxy would have held them.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from deployments.draining import leaving, when_leaving
from deployments.wiring import Nodes
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_KEEP_ALIVE_S = 75  # longer than clients keep idle connections: who closes first should be the one who does not ask
_LEAVE_S = 5.0


def also_listen(app: FastAPI, nodes: Nodes) -> None:
    """Have `app` listen on `http.direct_port` too, if there is one, for as long as its lifespan."""
    if not nodes.settings.http.direct_port:
        return
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[Any]:
        async with inner(served) as state:
            nodes.run("direct listener", _listen(app, nodes.settings.http.host, nodes.settings.http.direct_port))
            yield state

    app.router.lifespan_context = lifespan


async def _listen(app: FastAPI, host: str, port: int) -> None:
    """Serve until cancelled; from when the replica is to leave, only what was begun."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # addresses are ours to tell, see `http.trusted_proxies`
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(_LEAVE_S),
    )
    server = _Server(config)

    async def stop() -> None:
        server.should_exit = True

    stopping = asyncio.create_task(when_leaving(stop))
    try:
        with _bound(host, port) as listener:
            log.info("direct.listening", port=port)
            await server.serve(sockets=[listener])
        if leaving():
            await asyncio.Event().wait()  # the end of this task would be a failure
    finally:
        stopping.cancel()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # IPPROTO_TCP by name, else asyncio does not turn Nagle's algorithm off: 40 ms a response
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: they are Ray's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them."""
        yield
