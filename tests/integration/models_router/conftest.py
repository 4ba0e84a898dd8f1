"""Routers as replicas have them: shared breakers in a real Valkey, models behind the vendors' wire formats."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from actors.chat.backends import VendorBackends
from tests.integration.conftest import wait_ready
from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.models.attempts import Parts
from voicehelper.models.breaker import Rules
from voicehelper.models.breaker_events import LocalBreakers
from voicehelper.models.breakers import SharedBreakers
from voicehelper.models.latencies import SharedLatencies
from voicehelper.models.model import ModelEntry, Price
from voicehelper.models.null import FakeCatalogue, NoBudgets, NoExperiments
from voicehelper.models.routed import RoutedChat
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatRequest, FakeChatModel
from voicehelper.stores.breakers import BreakerChanges, RedisBreakers
from voicehelper.stores.latencies import RedisLatencies
from voicehelper.stores.redis import connect_redis

TENANT = UUID(int=7)
QUICK = ModelSettings(breaker_open_s=0.5, backoff_s=0.02)


class FakeSecrets:
    """Every entry has the same key."""

    def key_of(self, entry: ModelEntry) -> str:
        return "sk-test"


def entry(name: str, url: str, **given: object) -> ModelEntry:
    """A model of the platform's behind `url`."""
    defaults: dict[str, object] = {"provider": "openai_compatible", "remote": "remote", "context_tokens": 8000}
    return ModelEntry(
        id=uuid.uuid5(TENANT, name), name=name, base_url=url, price=Price(1_000_000, 2_000_000), **defaults | given
    )


@dataclass
class Replica:
    """One process's router."""

    router: RoutedChat
    breakers: SharedBreakers
    latencies: SharedLatencies
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def ask(self, model: str, text: str = "你好", deadline: float = 20.0) -> tuple[str, ChatDone]:
        """Text and end of one answer. Raises what the router raises."""
        loop = asyncio.get_running_loop()
        said: list[str] = []
        request = ChatRequest((ChatMessage("user", text),), max_tokens=64, model=model)
        with use_context(RequestContext(str(TENANT), "user-1")):
            async with asyncio.timeout_at(loop.time() + deadline), aclosing(self.router.stream(request)) as events:
                async for event in events:
                    if isinstance(event, ChatDelta):
                        said.append(event.text)
                    elif isinstance(event, ChatDone):
                        return "".join(said), event
        raise AssertionError("no end")

    async def tried(self, model: str) -> list[tuple[str, str]]:
        """Which models were asked, and how that ended."""
        _, done = await self.ask(model)
        assert done.route is not None
        return [(attempt.model, attempt.outcome) for attempt in done.route.attempts]


@asynccontextmanager
async def replica(url: str, entries: Sequence[ModelEntry], settings: ModelSettings) -> AsyncIterator[Replica]:
    """A router on the Valkey at `url`."""
    link, local = connect_redis(url), FakeChatModel()
    rules = Rules.of(settings)
    store, measured = RedisBreakers(url, rules), RedisLatencies(url)
    breakers = SharedBreakers(store, LocalBreakers(rules), BreakerChanges(link))
    latencies = SharedLatencies(measured)
    backends = VendorBackends(local, FakeSecrets())
    parts = Parts(backends, breakers, latencies, NoBudgets(), NoExperiments())
    catalogue = FakeCatalogue({entry.name: entry for entry in entries})
    tasks = [asyncio.create_task(breakers.run()), asyncio.create_task(latencies.run())]
    try:
        yield Replica(RoutedChat(catalogue, parts, local, settings), breakers, latencies, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await backends.close()
        for closing in (store, measured, link):
            await closing.close()


async def until(holds: Callable[[], bool], seconds: float = 3.0) -> float:
    """Wait until it holds; how long that took. Raises `TimeoutError`."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - told by nobody
            await asyncio.sleep(0.01)
    return loop.time() - started


class MortalValkey:
    """A Valkey of one test's own, that comes and goes."""

    def __init__(self, folder: Path) -> None:
        self._engine = EmbeddedValkey(folder, random_port(), "test-password", folder.with_suffix(".log"), durable=False)
        self._engine.prepare()
        self.url = self._engine.url()
        self.start()

    def start(self) -> None:
        self._process = self._engine.start()
        wait_ready(self._engine)

    def stop(self) -> None:
        stop(self._process)


@pytest.fixture
def mortal_valkey(engine_folder: Path) -> Iterator[MortalValkey]:
    """Running at first."""
    valkey = MortalValkey(engine_folder / f"mortal-{random_port()}")
    yield valkey
    valkey.stop()
