"""Two gateways on one database and one Valkey: what two replicas are to their clients."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import FastAPI

from voicehelper.config import ConversationSettings
from voicehelper.conversations import AnswerService
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.conversations.tasks import end_tasks
from voicehelper.gateway import create_app
from voicehelper.ports.clock import SystemClock
from voicehelper.rag.port import FakeAnswerer
from voicehelper.stores.context_cache import RedisContextCache
from voicehelper.stores.live_log import RedisLiveLog
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.turns import PostgresTurns
from voicehelper.stores.redis import RedisLink, connect_redis


@dataclass
class Replica:
    """One gateway."""

    app: FastAPI
    answers: AnswerService
    answerer: FakeAnswerer
    link: RedisLink
    http: httpx.AsyncClient

    async def die(self) -> None:
        """As kill -9 would have it: nothing more is written, sent or renewed."""
        ended = [*self.answers._live._tasks, *self.answers._tasks]
        for run in self.answers._runs.values():
            run._publish = lambda _event: None
            ended += [run._model] if run._model else []
        self.answers._runs.clear()
        await self.answers._leases.stop()
        await end_tasks(ended)


@asynccontextmanager
async def replica(harness: Any, redis_url: str, lease_s: float = 6.0, saga_s: float = 30.0) -> AsyncIterator[Replica]:
    """A further gateway on the database of `harness`, with a model of its own."""
    link, answerer = connect_redis(redis_url), FakeAnswerer()
    settings = ConversationSettings()
    answers = AnswerService(
        PostgresTurns(harness.pool),
        answerer,
        harness.services.scopes,
        CachedContextWindow(PostgresContext(harness.pool), RedisContextCache(link, 60), settings),
        SystemClock(),
        log=RedisLiveLog(link, 60),
        answer_timeout_s=30.0,
        lease_s=lease_s,
        saga_s=saga_s,
    )
    app = create_app(replace(harness.services, answers=answers))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(link.close)
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        headers = {"authorization": harness.http.headers["authorization"]}
        http = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        await stack.enter_async_context(http)
        yield Replica(app, answers, answerer, link, http)
