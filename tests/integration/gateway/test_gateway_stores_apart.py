"""Two tenants in the real application: what lies outside PostgreSQL is kept apart by name, and metrics name nobody."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import redis.asyncio

from tests.prove.tenancy_asgi import Direct, application, settings_for
from tests.prove.tenancy_rows import Rows
from tests.prove.tenancy_things import Tenant
from tests.prove.tenancy_world import World
from voicehelper.stores.postgres.pool import Pool

LABELS = {
    *("route", "method", "status", "stage", "outcome", "why", "source", "what", "limit", "model", "kind", "queue"),
    *("group", "le", "topic", "generation", "implementation", "major", "minor", "patchlevel", "version"),
    *("reason", "part", "state", "whose", "of"),
}
"""Every label there is. Each has values that we chose, or that the deployment did (models)."""

SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
SHARED_KEYS = re.compile(r"vh:\{(?:limits|budgets|breakers|latencies)\}:.+|\{?voicehelper\.events\}?(?::.+)?")
TENANT_KEY = re.compile(r"vh:\{([0-9a-f-]{36})\}:.+")


@dataclass
class Rig:
    """Two tenants that have used everything."""

    direct: Direct
    world: World
    one: Tenant
    other: Tenant
    home: Path
    redis: redis.asyncio.Redis

    async def metrics(self) -> str:
        return (await self.direct.call("GET", "/metrics")).body.decode()

    def secrets(self) -> list[str]:
        return [self.one.secret, self.other.secret]


@pytest.fixture
async def rig(pool: Pool, postgres_dsn: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    client = redis.asyncio.Redis.from_url(redis_url)
    async with application(settings_for(tmp_path, postgres_dsn, redis_url)) as app:
        direct = Direct(app)
        world = World(direct, Rows(pool), (await direct.call("GET", "/openapi.json")).json())
        one, other = await world.tenant("one"), await world.tenant("other")
        yield Rig(direct, world, one, other, tmp_path, client)
    await client.aclose()


async def test_redis_keys_name_their_tenant_and_hold_nothing_of_another(rig: Rig) -> None:
    seen: dict[str, int] = {}
    async for raw in rig.redis.scan_iter(count=1000):
        key, content = raw.decode(), await _content(rig.redis, raw)
        assert not any(secret in key for secret in rig.secrets())
        match = TENANT_KEY.fullmatch(key)
        if match is None:
            assert SHARED_KEYS.fullmatch(key), key
            assert not any(secret in content for secret in rig.secrets()), key
            continue
        owner = match[1]
        seen[owner] = seen.get(owner, 0) + 1
        for tenant in (rig.one, rig.other):
            assert tenant.id == owner or tenant.secret not in content, key
    assert seen.get(rig.one.id) and seen.get(rig.other.id)


async def test_objects_lie_under_their_tenant(rig: Rig) -> None:
    files = [path for path in (rig.home / "objects").rglob("*") if path.is_file()]
    assert files
    for path in files:
        parts = path.relative_to(rig.home / "objects").parts
        owners = [tenant for tenant in (rig.one, rig.other) if tenant.id in parts]
        assert len(owners) == 1, parts
        strangers = [tenant for tenant in (rig.one, rig.other) if tenant not in owners]
        assert not any(stranger.secret.encode() in path.read_bytes() for stranger in strangers)
        assert not any(secret in str(path) for secret in rig.secrets())


async def test_each_base_has_a_keyword_index_under_its_tenant(rig: Rig) -> None:
    indexes = [path.parent for path in rig.home.rglob("meta.json")]
    assert indexes
    owners = {UUID(path.parent.name) for path in indexes}
    assert owners == {UUID(rig.one.id), UUID(rig.other.id)}


async def test_metrics_name_nobody(rig: Rig) -> None:
    text = await rig.metrics()
    for line in filter(None, text.splitlines()):
        match = SAMPLE.fullmatch(line)
        for name, value in LABEL.findall(match[2]) if match else ():
            assert name in LABELS, f"{name}: a new label; is the set of its values bounded?"
            # A model is named by the settings, be it a file that is named by its hash.
            assert name == "model" or not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{16}|@|\d{7}", value), line
            assert not any(secret in value for secret in rig.secrets()), line


async def test_another_tenant_adds_no_series(rig: Rig) -> None:
    before = _series(await rig.metrics())
    await rig.world.tenant("third")
    added = _series(await rig.metrics()) - before
    assert not added


def _series(text: str) -> set[str]:
    found = {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("voicehelper_")}
    # A status or an outcome that happened for the first time is no matter of tenants.
    return {name for name in found if not re.search(r'status="|outcome="|stage="|what="|source="|state="', name)}


async def _content(client: redis.asyncio.Redis, key: bytes) -> str:
    kind = (await client.type(key)).decode()
    read = {
        "string": lambda: client.get(key),
        "hash": lambda: client.hgetall(key),
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: client.smembers(key),
        "zset": lambda: client.zrange(key, 0, -1),
        "stream": lambda: client.xrange(key),
    }
    content = await read[kind]()
    return str(content.decode("utf-8", "replace") if isinstance(content, bytes) else content)
