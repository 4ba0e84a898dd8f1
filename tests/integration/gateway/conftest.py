"""The whole gateway in this process: real PostgreSQL, fakes for models and objects."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.fakes.models import FakeBackends, FakeResolver
from voicehelper.config import ChatSettings, ConversationSettings, HttpSettings, IdentitySettings, Settings
from voicehelper.conversations import AnswerService, ConversationDirectory
from voicehelper.conversations.context import CachedContextWindow
from voicehelper.conversations.privacy import Privacy
from voicehelper.conversations.review import ConversationReview
from voicehelper.errors import Unavailable
from voicehelper.gateway import Probe, Services, create_app
from voicehelper.gateway.budget_desk import BudgetDesk
from voicehelper.gateway.dead_letters import DeadLetterDesk
from voicehelper.gateway.experiments_desk import ExperimentsDesk
from voicehelper.gateway.models_desk import ModelsDesk
from voicehelper.identity import Passwords, TokenIssuer, User
from voicehelper.identity.acts import Acts
from voicehelper.identity.files import publish_once
from voicehelper.identity.keys import new_pem
from voicehelper.identity.secrets import SecretBox
from voicehelper.ids import new_id
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.models.budgets import NO_LIMITS, Limits
from voicehelper.models.catalogue import LiveCatalogue
from voicehelper.models.catalogue_service import CatalogueService
from voicehelper.models.counters import Used
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.local import local_entry
from voicehelper.ports.clock import SystemClock
from voicehelper.ports.objects import FakeObjectStore
from voicehelper.ports.search import Passage, Scope
from voicehelper.ports.speech import FakeSpeechToText, FakeTextToSpeech
from voicehelper.rag.port import FakeAnswerer
from voicehelper.retrieval.model import Retrieved, ScoredPassage
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.accounts import postgres_accounts
from voicehelper.stores.postgres.budgets import PostgresBudgets
from voicehelper.stores.postgres.context import PostgresContext
from voicehelper.stores.postgres.conversations import PostgresConversations
from voicehelper.stores.postgres.dead_letters import PostgresDeadLetters
from voicehelper.stores.postgres.experiments import PostgresExperiments
from voicehelper.stores.postgres.experiments_figures import PostgresFigures
from voicehelper.stores.postgres.experiments_running import PostgresAssignments
from voicehelper.stores.postgres.feedback import PostgresFeedback
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.stores.postgres.idempotency import PURPOSE, PostgresIdempotency
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.index_queue import PostgresObjectTrash
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.models import PostgresModels
from voicehelper.stores.postgres.models_feed import PostgresModelFeed
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.privacy import PostgresPrivacy
from voicehelper.stores.postgres.review import PostgresReview
from voicehelper.stores.postgres.scopes import PostgresScopes
from voicehelper.stores.postgres.turns import PostgresTurns
from voicehelper.stores.postgres.usage import PostgresUsageReports
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.voice.dictation import Dictation
from voicehelper.voice.hot_words import RememberedHotWords

PASSWORD = "correct horse 电池"
KEY = new_pem()
BOX = SecretBox(b"m" * 32, "model-keys")
HTTP = HttpSettings(max_upload_bytes=200_000, max_body_bytes=50_000, request_timeout_s=10.0, answer_timeout_s=5.0)


class FakeAbsentCache:
    """A context cache that is always away."""

    def __getattr__(self, name: str) -> Any:
        async def away(*_arguments: object) -> Any:
            raise Unavailable

        return away


class FakeRemaining:
    """Nothing is used, nothing limited."""

    async def left(self, _caller: object) -> list[tuple[Used, Limits]]:
        return [(Used(), NO_LIMITS)] * 3


class FakeRetriever:
    """Finds one passage anywhere; keeps the scopes it was asked for."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def retrieve(self, scope: Scope, query: str, top_k: int | None = None) -> Retrieved:
        self.scopes.append(scope)
        passage = Passage(new_id(), new_id(), new_id(), "退款.md", 0, 1, ("退款",), 0, len(query), query)
        return Retrieved((ScoredPassage(passage, 0.9, {"dense": 0.9, "fused": 0.9}),), ("keyword",), {"dense": 1.0})


@dataclass
class Harness:
    """The application, what it is made of, and ways to call it."""

    app: FastAPI
    services: Services
    answerer: FakeAnswerer
    objects: FakeObjectStore
    retriever: FakeRetriever
    issuer: TokenIssuer
    pool: Pool
    admin: User
    broken_probes: set[str]
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.client(self.admin)

    def client(self, user: User | None) -> httpx.AsyncClient:
        """A client with a token of `user`, or with none."""
        headers = {"Authorization": f"Bearer {self.issuer.issue(user, new_id()).token}"} if user else {}
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    async def user(self, tenant: str, email: str, role: str = "owner") -> User:
        """A new user, in a tenant that is made if need be."""
        if role == "owner":
            return await PostgresUsers(self.pool).create_admin(tenant, email, "x")
        tenant_id = await self.pool.fetchval("SELECT id FROM tenants WHERE name = $1", tenant)
        user = User(new_id(), tenant_id, email, "x", role)
        await self.pool.execute(
            "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, $3, 'x', $4)",
            user.id,
            tenant_id,
            email,
            role,
        )
        return user

    async def conversation(self) -> UUID:
        """A new conversation of the administrator."""
        response = await self.http.post("/api/v1/conversations", json={})
        assert response.status_code == 201, response.text
        return UUID(response.json()["id"])

    async def base(self, name: str = "政策") -> UUID:
        """A new knowledge base."""
        response = await self.http.post("/api/v1/knowledge/bases", json={"name": name})
        assert response.status_code == 201, response.text
        return UUID(response.json()["id"])


class LiveRequest:
    """A request whose response can be watched while it comes, and whose client can leave."""

    def __init__(
        self, app: FastAPI, path: str, body: dict[str, Any] | None, headers: dict[str, str], method: str = "POST"
    ) -> None:
        self.status = 0
        self.body = b""
        self._left = asyncio.Event()
        self._sent = False
        self._news = asyncio.Event()
        self._content = b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(b"content-type", b"application/json")]
            + [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._content, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.body += message.get("body", b"")
        self._news.set()

    async def until(self, arrived: Callable[[str], bool]) -> None:
        """Wait until the body so far satisfies `arrived`."""
        while not arrived(self.body.decode()):
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 5)

    async def bytes(self, number: int) -> None:
        """Wait until so many bytes of the body are there, or all there will be."""
        while len(self.body) < number and not self.task.done():
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({news, self.task}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self._left.set()


@pytest.fixture
def live(harness: Harness) -> Callable[[UUID, str], LiveRequest]:
    """Ask a question with server-sent events, watchable."""

    def start(conversation: UUID, content: str, **body: Any) -> LiveRequest:
        headers = {"authorization": harness.http.headers["authorization"], "accept": "text/event-stream"}
        path = f"/api/v1/conversations/{conversation}/messages"
        return LiveRequest(harness.app, path, {"content": content, **body}, headers)

    return start


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log on the screen: structlog's own rendering of a traceback takes seconds."""
    with capture_logs():
        yield


@pytest.fixture
async def tokens(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AuthenticationStack]:
    """Tokens, keys and permissions over the test's database."""
    home = tmp_path_factory.mktemp("home")
    publish_once(home / "keys" / "jwt.pem", KEY)
    settings, wakeups = Settings(home=home), Wakeups(pool)
    stack = authentication(settings, pool, wakeups, None, SystemClock())
    await stack.start()
    running = asyncio.create_task(stack.run())
    yield stack
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await wakeups.close()


def experiments_desk(pool: Pool, acts: Acts) -> ExperimentsDesk:
    """Over the test's database; what is collected is written when a test flushes it."""
    store = PostgresAssignments(pool)
    return ExperimentsDesk(
        PostgresExperiments(pool), PostgresFigures(pool), store, Collector(store, SystemClock()), acts
    )


@pytest.fixture
async def harness(pool: Pool, tokens: AuthenticationStack) -> AsyncIterator[Harness]:
    """A fresh gateway with one administrator."""
    clock = SystemClock()
    users, passwords = PostgresUsers(pool), Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    admin = await users.create_admin("default", "admin@example.com", await passwords.hash(PASSWORD))
    answerer, objects, retriever, scopes = FakeAnswerer(), FakeObjectStore(), FakeRetriever(), PostgresScopes(pool)
    broken: set[str] = set()

    def probe(name: str, required: bool) -> Probe:
        async def check() -> str:
            if name in broken:
                raise ConnectionError("secret-host:5432 refused")
            return "fake"

        return Probe(name, check, required)

    accounts = postgres_accounts(
        pool,
        settings=IdentitySettings(),
        clock=clock,
        issuer=tokens.issuer,
        passwords=passwords,
        master=b"m" * 32,
    )
    directory = ConversationDirectory(PostgresConversations(pool), scopes)
    acts = Acts(accounts.audit, partial(request_transaction, pool), clock)
    live = LiveCatalogue(local_entry(ChatSettings(model="fake-chat", backend="fake")), BOX, {})
    feed = PostgresModelFeed(pool, Wakeups(pool))
    models = ModelsDesk(CatalogueService(PostgresModels(pool), live, feed, BOX, FakeResolver()), FakeBackends(), acts)
    services = Services(
        http=HTTP,
        accounts=accounts,
        authenticator=tokens.authenticator,
        keys=tokens.keys,
        knowledge=KnowledgeService(PostgresKnowledge(pool), PostgresObjectTrash(pool), objects, HTTP.max_upload_bytes),
        scopes=scopes,
        conversations=directory,
        answers=AnswerService(
            PostgresTurns(pool),
            answerer,
            scopes,
            CachedContextWindow(PostgresContext(pool), FakeAbsentCache(), ConversationSettings()),
            clock,
            answer_timeout_s=HTTP.answer_timeout_s,
        ),
        feedback=PostgresFeedback(pool),
        review=ConversationReview(PostgresReview(pool), accounts.audit),
        privacy=Privacy(PostgresPrivacy(pool, 3600), directory, accounts.users, acts),
        retriever=retriever,
        dead_letters=DeadLetterDesk(PostgresDeadLetters(pool), acts),
        probes=(probe("postgres", True), probe("chat", True), probe("redis", False)),
        idempotency=PostgresIdempotency(pool, SecretBox(b"m" * 32, PURPOSE)),
        models=models,
        experiments=experiments_desk(pool, acts),
        budgets=BudgetDesk(PostgresBudgets(pool), PostgresUsageReports(pool), FakeRemaining(), acts),
        tts=FakeTextToSpeech(seconds_per_char=0.05),
        dictation=Dictation(FakeSpeechToText(("您好，", "退款多久到账？"))),
        hot_words=RememberedHotWords(accounts.tenants.hot_words, clock),
    )
    app = create_app(services)
    async with app.router.lifespan_context(app):
        made = Harness(app, services, answerer, objects, retriever, tokens.issuer, pool, admin, broken)
        yield made
        await made.http.aclose()
