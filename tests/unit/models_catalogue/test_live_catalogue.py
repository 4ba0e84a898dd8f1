"""The catalogue in memory: whose models a tenant sees, whose keys a model gets, and what happens without a database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from voicehelper.config import ChatSettings
from voicehelper.errors import ModelUnavailable, Unavailable
from voicehelper.identity.secrets import SecretBox
from voicehelper.models.catalogue import LiveCatalogue, StoredModel
from voicehelper.models.local import LOCAL_ID, local_entry
from voicehelper.models.model import LOCAL, ModelEntry, Price

A, B = uuid4(), uuid4()
BOX = SecretBox(b"m" * 32, "model-keys")
OWN = local_entry(ChatSettings(model="local-model"))


def entry(name: str, tenant_id: UUID | None = None, provider: str = "openai", **values: object) -> ModelEntry:
    return ModelEntry(uuid4(), name, provider, tenant_id=tenant_id, **values)  # type: ignore[arg-type]


def keyed(model: ModelEntry, key: str) -> StoredModel:
    return StoredModel(replace(model, has_key=True), BOX.seal(key.encode(), model.id.bytes))


@dataclass
class FakeFeed:
    """A table in memory, which may be away."""

    stored: list[StoredModel] = field(default_factory=list)
    away: bool = False
    reads: int = 0
    waited: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def mark(self) -> str:
        if self.away:
            raise Unavailable("The database is not available")
        return str([(row.entry.id, row.entry.version) for row in self.stored])

    async def rows(self) -> Sequence[StoredModel]:
        self.reads += 1
        return list(self.stored)

    async def wait(self, timeout: float) -> None:
        self.waited.append(timeout)
        await self.news.wait()
        self.news.clear()


def catalogue(**keys: str) -> LiveCatalogue:
    return LiveCatalogue(OWN, BOX, keys, refresh_s=2.0)


async def read(*rows: ModelEntry | StoredModel, **keys: str) -> LiveCatalogue:
    made = catalogue(**keys)
    await made.refresh(FakeFeed([row if isinstance(row, StoredModel) else StoredModel(row) for row in rows]))
    return made


def test_the_instances_own_model_is_there_before_anything_was_read() -> None:
    made = catalogue()
    assert dict(made.of(A)) == {"local-model": OWN}
    assert (OWN.id, OWN.provider, OWN.price) == (LOCAL_ID, LOCAL, Price())
    assert made.key_of(OWN) == ""


async def test_a_tenants_own_hides_the_platforms_of_the_same_name() -> None:
    ours, shared, theirs = entry("gpt", A), entry("gpt"), entry("gpt", B)
    made = await read(ours, shared, theirs, entry("x"), entry("y", B))
    assert made.of(A)["gpt"] == ours
    assert made.of(B)["gpt"] == theirs
    assert made.of(uuid4())["gpt"] == shared
    assert set(made.of(A)) == {"gpt", "x", "local-model"}
    assert made.of(uuid4()) is made.of(uuid4())
    assert len(made.entries) == 6


async def test_what_is_disabled_is_not_used_and_still_hides() -> None:
    off = entry("gpt", A, enabled=False)
    made = await read(off, entry("gpt"), entry("x", enabled=False))
    assert set(made.of(A)) == {"local-model"}
    assert set(made.of(B)) == {"gpt", "local-model"}
    assert off not in made.entries


async def test_nothing_hides_the_instances_own() -> None:
    made = await read(entry("local-model", A), entry("local-model"))
    assert made.of(A)["local-model"] is OWN


async def test_the_table_is_read_again_only_when_it_changed() -> None:
    made, feed = catalogue(), FakeFeed([StoredModel(entry("a"))])
    for _ in range(3):
        await made.refresh(feed)
    assert feed.reads == 1
    before = made.of(A)
    feed.stored.append(StoredModel(entry("b")))
    await made.refresh(feed)
    assert feed.reads == 2
    assert set(before) == {"a", "local-model"}, "who holds a mapping sees no change in it"
    assert set(made.of(A)) == {"a", "b", "local-model"}


async def test_the_last_good_copy_serves_while_the_table_is_away() -> None:
    made, feed = catalogue(), FakeFeed([StoredModel(entry("a"))])
    with capture_logs() as logs:
        following = asyncio.create_task(made.run(feed))
        await made.tried(5)
        feed.away = True
        for _ in range(3):
            feed.news.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert set(made.of(A)) == {"a", "local-model"}
        feed.away, feed.stored = False, [StoredModel(entry("b"))]
        feed.news.set()
        while "b" not in made.of(A):  # noqa: ASYNC110
            await asyncio.sleep(0)
        following.cancel()
    assert set(feed.waited) == {2.0}
    assert [log["event"] for log in logs] == ["catalogue.read", "table.away", "catalogue.read"]


async def test_a_start_without_the_table_is_waited_for_once() -> None:
    made, feed = catalogue(), FakeFeed(away=True)
    following = asyncio.create_task(made.run(feed))
    await made.tried(60)
    following.cancel()
    await catalogue().tried(0.01)


async def test_a_models_own_key_wins_over_the_platforms() -> None:
    with_key, without = entry("a"), entry("b")
    made = await read(keyed(with_key, "sk-own"), without, openai="sk-platform")
    assert made.key_of(with_key) == "sk-own"
    assert made.key_of(without) == "sk-platform"
    assert made.key_of(entry("c", provider="qwen")) == ""


async def test_a_tenants_model_never_gets_the_platforms_key() -> None:
    """It could name an address of its own, or a price of nothing."""
    cheat = entry("a", A, base_url="https://evil.example.com/v1")
    made = await read(cheat, openai="sk-platform")
    assert made.key_of(cheat) == "" == made.key_of(entry("new", A))


async def test_a_key_sealed_for_another_row_or_with_another_master_key_is_not_used() -> None:
    one, other = entry("a"), entry("b")
    made = await read(StoredModel(one, BOX.seal(b"sk-x", other.id.bytes)), openai="sk-platform")
    with capture_logs() as logs, pytest.raises(ModelUnavailable) as refused:
        made.key_of(one)
    assert "sk-" not in str(refused.value) + str(logs)


async def test_keys_show_in_no_text() -> None:
    model = entry("a")
    row = keyed(model, "sk-own-secret")
    with capture_logs() as logs:
        made = await read(row, openai="sk-platform")
        made.key_of(model)
    shown = f"{row!r} {made!r} {made.of(A)!r} {logs}"
    assert "sk-" not in shown and repr(row.sealed) not in shown
