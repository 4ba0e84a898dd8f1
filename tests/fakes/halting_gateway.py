"""A process that serves knowledge bases with idempotency, and stops for ever at one point of a request, to be killed.

`python halting_gateway.py DSN PORT TENANT USER HALT` with HALT one of `handled` (the handler is done, its response not
stored), `stored` (before the commit), `committed` (before the client hears of it), `never`. Prints where it halts.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.middleware import Boundary, Idempotency
from voicehelper.gateway.problems import handle
from voicehelper.gateway.routes import API
from voicehelper.idempotency import StoredResponse, WriteKey
from voicehelper.identity import Principal
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.identity.secrets import SecretBox
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.ports.objects import FakeObjectStore
from voicehelper.stores.postgres.idempotency import PURPOSE, PostgresIdempotency
from voicehelper.stores.postgres.index_queue import PostgresObjectTrash
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.pool import create_pool


class Halting:
    """`PostgresIdempotency`, halted on the way."""

    def __init__(self, store: PostgresIdempotency, point: str) -> None:
        self._store = store
        self._point = point

    async def reach(self, point: str) -> None:
        if point == self._point:
            print(point, flush=True)
            await asyncio.Event().wait()

    @asynccontextmanager
    async def once(self, write: WriteKey) -> AsyncIterator[Any]:
        async with self._store.once(write) as claim:

            async def keep(response: StoredResponse) -> None:
                await self.reach("handled")
                await claim.keep(response)
                await self.reach("stored")

            yield SimpleNamespace(stored=claim.stored, keep=keep, drop=claim.drop)
        await self.reach("committed")


async def main(dsn: str, port: str, tenant: str, user: str, point: str) -> None:
    pool = await create_pool(dsn)
    principal = Principal(UUID(user), UUID(tenant), "owner", BUILT_IN["owner"])
    knowledge = KnowledgeService(PostgresKnowledge(pool), PostgresObjectTrash(pool), FakeObjectStore(), 10_000)
    app = FastAPI()
    app.state.services = SimpleNamespace(knowledge=knowledge)
    app.include_router(API)
    app.add_exception_handler(VoiceHelperError, handle)
    store = Halting(PostgresIdempotency(pool, SecretBox(b"m" * 32, PURPOSE)), point)
    layers = Boundary(Idempotency(app, store, HttpSettings()))

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = principal
        await layers(scope, receive, send)

    config = uvicorn.Config(authenticated, host="127.0.0.1", port=int(port), log_level="warning", lifespan="off")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
