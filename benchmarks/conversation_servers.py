"""The two applications that `benchmarks.conversations` compares, each in a process of its own under uvicorn.

    python -m benchmarks.conversation_servers ours|bare PORT

`ours` is the whole gateway as `deployments` builds it, with a fake answerer that is done at once instead of models.
`bare` is a FastAPI application over psycopg's pool that sends PostgreSQL the statements which ours sends for the same
request, parses and renders bodies of the same fields with pydantic, and does nothing else: no authentication, limits,
tenants, leases, context or streams. Its message write runs the statements that begin a turn and those that finish it.
Settings come from the environment (`VOICEHELPER_...`); for `bare` so do BENCH_TENANT, BENCH_USER.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import uvicorn
import uvloop
from fastapi import FastAPI, Query
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from deployments.nodes import CHAT, EMBEDDER, INDEXER, RAG, RETRIEVAL
from deployments.services import gateway_services
from deployments.wiring import Nodes
from tests.fakes.retriever import FakeRetriever
from voicehelper.config import Settings
from voicehelper.conversations.model import Filter, title_of
from voicehelper.gateway import create_app
from voicehelper.ids import new_id
from voicehelper.ports.chat import FakeChatModel
from voicehelper.ports.embedder import FakeEmbedder
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone
from voicehelper.rag.port import FakeAnswerer
from voicehelper.stores.postgres import conversations as statements
from voicehelper.stores.postgres import turn_rows
from voicehelper.telemetry import configure_logging, configure_tracing
from voicehelper.wire.common import Page
from voicehelper.wire.conversations import ConversationCreate, ConversationView, MessageCreate, MessageView, TurnView

ANSWER = "退货请在签收后 7 天内申请，运费由责任方承担。"
POOL = 8

_EVENT = "INSERT INTO outbox (id, type, version, tenant_id, key, payload) VALUES ($1, $2, 1, $3, $4, $5)"
_NOTIFY = "SELECT pg_notify('outbox', '')"


def translated(sql: str) -> str:
    """A statement of ours with psycopg's placeholders."""
    return re.sub(r"\$(\d+)", r"%(a\1)s", sql.replace("%", "%%"))


CREATE, PAGE, LOCK, LAST, INSERT, FINISH, EVENT = map(
    translated,
    (
        statements._CREATE,
        statements._PAGE,
        turn_rows.LOCK,
        turn_rows.LAST,
        turn_rows.INSERT,
        turn_rows.FINISH,
        _EVENT,
    ),
)


class Bare:
    """What a competent short application would do."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]], tenant: UUID, user: UUID) -> None:
        self._pool = pool
        self._tenant = tenant
        self._user = user

    async def page(self, limit: int) -> Page[ConversationView]:
        """The newest conversations."""
        arguments = statements.page_arguments(Filter(), limit, None)
        async with self._pool.connection() as connection:
            found = await _all(connection, PAGE, self._tenant, self._user, *arguments)
        return Page(items=[_view(row) for row in found])

    async def create(self, body: ConversationCreate) -> ConversationView:
        """A new one, and its event."""
        async with self._pool.connection() as connection:
            row = (await _all(connection, CREATE, new_id(), self._tenant, self._user, body.title, []))[0]
            await self._tell(connection, "conversation.created", {"conversation_id": str(row["id"])})
        return _view(row)

    async def ask(self, conversation_id: UUID, body: MessageCreate) -> TurnView:
        """Question and answer, and their events, in two transactions."""
        run, mine = new_id(), (conversation_id, self._tenant, self._user)
        async with self._pool.connection() as connection:
            await _all(connection, LOCK, *mine)
            last = await _all(connection, LAST, conversation_id, self._tenant, 6.0)
            seq = last[0]["seq"] + 1 if last else 1
            new = (new_id(), self._tenant, conversation_id, seq, body.content, Jsonb([]), new_id(), run)
            rows = await _all(connection, INSERT, *new, title_of(body.content), 6.0, 30.0, Jsonb({}))
            await self._tell(connection, "conversation.message_sent", {"conversation_id": str(conversation_id)})
        question, answer = (MessageView.model_validate(row) for row in rows)
        empty = Jsonb([]), Jsonb({"outcome": "answered"}), Jsonb({"cuts": [[0, len(ANSWER)]]})
        async with self._pool.connection() as connection:
            done = await _all(connection, FINISH, answer.id, self._tenant, run, "completed", ANSWER, *empty)
            await self._tell(connection, "conversation.answer_completed", {"conversation_id": str(conversation_id)})
        return TurnView(question=question, answer=MessageView.model_validate(done[0]))

    async def _tell(self, connection: AsyncConnection[DictRow], kind: str, payload: dict[str, str]) -> None:
        await connection.execute(EVENT, _named((new_id(), kind, self._tenant, str(self._user), Jsonb(payload))))
        await connection.execute(_NOTIFY)


async def _all(connection: AsyncConnection[DictRow], sql: str, *values: Any) -> list[DictRow]:
    return await (await connection.execute(sql, _named(values))).fetchall()


def _named(values: tuple[Any, ...]) -> dict[str, Any]:
    return {f"a{number}": value for number, value in enumerate(values, 1)}


def _view(row: DictRow) -> ConversationView:
    return ConversationView(knowledge_bases=row["kb_ids"], archived=row["archived_at"] is not None, **_common(row))


def _common(row: DictRow) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "title", "version", "created_at", "updated_at")}


def bare_app(settings: Settings) -> FastAPI:
    """Routes over `Bare`."""
    made: list[Bare] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            settings.postgres_dsn(), min_size=POOL, max_size=POOL, kwargs={"row_factory": dict_row}, open=False
        )
        async with pool:
            made.append(Bare(pool, UUID(os.environ["BENCH_TENANT"]), UUID(os.environ["BENCH_USER"])))
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/api/v1/conversations")
    async def page(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Page[ConversationView]:
        return await made[0].page(limit)

    @app.post("/api/v1/conversations", status_code=201)
    async def create(body: ConversationCreate) -> ConversationView:
        return await made[0].create(body)

    @app.post("/api/v1/conversations/{conversation_id}/messages")
    async def ask(conversation_id: UUID, body: MessageCreate) -> TurnView:
        return await made[0].ask(conversation_id, body)

    return app


async def our_nodes(settings: Settings) -> Nodes:
    """Everything but models: the gateway, its engines, and a fake answerer that is done at once."""
    nodes = Nodes(settings, {})
    done = (AnswerDelta(ANSWER), AnswerCitations(()), AnswerDone("answered", model="fake"))
    fakes: dict[str, Any] = {
        RAG.name: FakeAnswerer(done),
        RETRIEVAL.name: FakeRetriever(),
        EMBEDDER.name: FakeEmbedder(),
        CHAT.name: FakeChatModel(),
        INDEXER.name: object(),
    }
    for name, fake in fakes.items():
        await nodes.shared(name, _giving(fake))
    return nodes


def _giving(fake: Any) -> Any:
    async def make() -> Any:
        return fake

    return make


async def serve(which: str, port: int) -> None:
    """Until a signal."""
    settings = Settings()
    nodes = await our_nodes(settings) if which == "ours" else None
    app = create_app(await gateway_services(nodes)) if nodes else bare_app(settings)
    try:
        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()
    finally:
        if nodes:
            await nodes.close()


if __name__ == "__main__":
    configure_logging("INFO", Path(os.devnull).open("w"))  # noqa: SIM115 - as always, but to nowhere
    configure_tracing("voicehelper-gateway", "")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
