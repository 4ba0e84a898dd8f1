"""What verifies tokens, on real engines: PostgreSQL and Valkey in a temporary folder, users, sessions, keys."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from voicehelper.config import Settings
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.identity import User
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.ids import new_id
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.guard import SYSTEM, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.redis import RedisLink, connect_redis


@dataclass(frozen=True)
class Rig:
    """The engines, and what lies in them. `keys` are API keys as text, of all users in turn."""

    home: Path
    pool: Pool
    wakeups: Wakeups
    redis: RedisLink
    users: list[User]
    keys: list[str]

    @asynccontextmanager
    async def process(self) -> AsyncIterator[AuthenticationStack]:
        """A stack as in a gateway that has just started: it knows nobody, and follows the feed."""
        stack = authentication(Settings(home=self.home), self.pool, self.wakeups, self.redis, SystemClock())
        await stack.start()
        running = asyncio.create_task(stack.run())
        try:
            yield stack
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def forget_cache(self) -> None:
        """Empty Redis."""
        await self.redis.client.flushall()


@asynccontextmanager
async def open_rig(users: int, keys: int, revoked: int) -> AsyncIterator[Rig]:
    """Start the engines; one tenant with `users`, `keys` API keys, and `revoked` sessions that the feed remembers."""
    with tempfile.TemporaryDirectory(prefix="voicehelper-bench-") as name:
        home = Path(name)
        home.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL runs under an account of its own where we are root
        postgres = EmbeddedPostgres(home / "pg", random_port(), "bench", home / "pg.log", durable=False)
        valkey = EmbeddedValkey(home / "valkey", random_port(), "bench", home / "valkey.log", durable=False)
        engines = (postgres, valkey)
        for engine in engines:
            engine.prepare()
        running = [engine.start() for engine in engines]
        try:
            for engine in engines:
                await _ready(engine)
            await postgres.ensure_database("bench")
            await migrate(postgres.url("bench"))
            pool, link = await create_pool(postgres.url("bench"), max_size=8), connect_redis(valkey.url())
            wakeups = Wakeups(pool)
            yield Rig(home, pool, wakeups, link, *await _fill(pool, users, keys, revoked))
            await wakeups.close()
            await link.close()
            await pool.close()
        finally:
            for process in running:
                stop(process)


async def _ready(engine: EmbeddedPostgres | EmbeddedValkey) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            await engine.check()
            return
        except EngineError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def _fill(pool: Pool, users: int, keys: int, revoked: int) -> tuple[list[User], list[str]]:
    tenant = new_id()
    people = [User(new_id(), tenant, f"{n}@example.com", "x", "member") for n in range(users)]
    texts = []
    async with transaction(pool, SYSTEM) as conn:
        await conn.execute("INSERT INTO tenants (id, name) VALUES ($1, 'bench')", tenant)
        await conn.executemany(
            "INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES ($1, $2, $3, 'x', 'member')",
            [(user.id, tenant, user.email) for user in people],
        )
        for n in range(keys):
            key_id: UUID = new_id()
            text, secret_hash = API_KEY.make(key_id)
            texts.append(text)
            await conn.execute(
                "INSERT INTO api_keys (id, tenant_id, user_id, name, secret_hash, permissions)"
                " VALUES ($1, $2, $3, 'bench', $4, '{conversations:read}')",
                key_id,
                tenant,
                people[n % users].id,
                secret_hash,
            )
        for _ in range(revoked):
            await record_change(conn, "session", tenant, new_id(), 3600)
    return people, texts
