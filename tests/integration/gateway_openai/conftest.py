"""The gateway with a scripted model, behind a real socket, and OpenAI's own client before it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
import uvicorn

from tests.fakes.chat_model import FakeScriptedModel
from tests.integration.gateway.conftest import Harness, harness, quiet, tokens
from voicehelper.identity import User
from voicehelper.ids import new_id
from voicehelper.models.embeddings import Embeddings
from voicehelper.models.model import ModelEntry
from voicehelper.ports.embedder import FakeEmbedder
from voicehelper.rag.port import FakeAnswerer

__all__ = ["harness", "quiet", "tokens"]

EVERYTHING = frozenset({"stream", "tools", "json_object", "json_schema", "vision", "logprobs", "seed"})


class FakeCatalogue:
    """Models of tenants, and of all."""

    def __init__(self) -> None:
        self.shared = [entry("local", capabilities=EVERYTHING), entry("plain", capabilities=frozenset({"stream"}))]
        self.own: dict[UUID, list[ModelEntry]] = {}

    def of(self, tenant_id: UUID) -> dict[str, ModelEntry]:
        """By name."""
        return {each.name: each for each in [*self.shared, *self.own.get(tenant_id, [])]}


def entry(name: str, **facts: Any) -> ModelEntry:
    """An entry of the catalogue."""
    return ModelEntry(new_id(), name, facts.pop("provider", "openai"), **facts)


@dataclass
class Site:
    """What is served, where, and the fakes behind it."""

    harness: Harness
    url: str
    model: FakeScriptedModel = field(default_factory=FakeScriptedModel)
    catalogue: FakeCatalogue = field(default_factory=FakeCatalogue)
    answerer: FakeAnswerer = field(default_factory=FakeAnswerer)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    clients: list[Any] = field(default_factory=list)

    def token(self, user: User) -> str:
        """An access token."""
        return self.harness.issuer.issue(user, new_id()).token

    def client(self, user: User | None = None) -> openai.AsyncOpenAI:
        """OpenAI's, as an application would make it; by default the administrator's."""
        token = self.token(user or self.harness.admin)
        made = openai.AsyncOpenAI(api_key=token, base_url=f"{self.url}/v1", max_retries=0)
        self.clients.append(made)
        return made

    def raw(self, user: User | None = None) -> httpx.AsyncClient:
        """A client without opinions."""
        headers = {"authorization": f"Bearer {self.token(user or self.harness.admin)}"}
        made = httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False)
        self.clients.append(SimpleNamespace(close=made.aclose))
        return made

    def use(self, **services: Any) -> None:
        """Put other services in place."""
        self.harness.app.state.services = replace(self.harness.app.state.services, **services)


@pytest.fixture
async def site(harness: Harness) -> AsyncIterator[Site]:
    """The gateway, served."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        made = Site(harness, f"http://127.0.0.1:{listener.getsockname()[1]}")
        embeddings = Embeddings(made.embedder, "e5")
        made.use(router=made.model, catalogue=made.catalogue, answerer=made.answerer, embeddings=embeddings)
        config = uvicorn.Config(harness.app, lifespan="off", log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.01)
        yield made
        for client in made.clients:
            await client.close()
        server.should_exit = True
        await serving
